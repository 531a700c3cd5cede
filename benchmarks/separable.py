"""Whether a separable layer costs what its share of work says, against plain layers.

    python benchmarks/separable.py [--json] [--quick] [--rounds 7] [--batch 128]

A step (forward and backward, one thread, bfloat16, batch norm in float32) of one layer with its
batch norm and ReLU, 32 to 128 channels in and out, maps of 7x7 to 28x28, in forms that take turns:

    plain         k x k, and 1 x 1: what the two of them take gives seconds a multiply-accumulate
                  and seconds a number read or written
    ours          separable, as the product builds it
    torch         separable by `nn.Conv2d`, channels last
    first         the same, channels first
    float32       its depthwise part in float32, converted before and behind
    shifts        its depthwise part as a sum over k x k shifted maps
    unfold        its depthwise part as a product with unfolded maps (`im2col`); these two on maps
                  of 14x14 at most, for they take k x k times the memory

`expected` is what a separable layer's multiply-accumulates and the numbers that its two parts move
would take at the plain layers' rates; every form's figure is its time over that, the median of the
rounds.  The target is at most 1.5 for `ours`.  Milliseconds are medians, too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lcsearch.engine.training.depthwise import Depthwise

BF16, LAST = torch.bfloat16, torch.channels_last
FORMS = ("ours", "torch", "first", "float32", "shifts", "unfold")
CASES = [(c, side, k, 1) for k in (3, 5) for side in (7, 14, 28) for c in (32, 64, 128)]
CASES += [(64, 14, 3, 2), (64, 14, 5, 2)]
QUICK = [(32, 7, 3, 1), (32, 7, 5, 2)]
WINDOW = 0.02
"""Seconds that a form is timed for in a round, at least."""


class Float32(nn.Conv2d):
    """Converted before and behind."""

    def forward(self, maps: Tensor) -> Tensor:
        weight = self.weight.float()
        out = functional.conv2d(
            maps.float(), weight, None, self.stride, self.padding, groups=self.groups
        )
        return out.to(maps.dtype)


class Shifts(nn.Conv2d):
    """A product with a number a channel for each place of the kernel."""

    def forward(self, maps: Tensor) -> Tensor:
        edge, (kernel, _), (stride, _) = self.kernel_size[0] // 2, self.kernel_size, self.stride
        height, width = maps.shape[2:]
        padded = functional.pad(maps, (edge,) * 4)
        found = None
        for row in range(kernel):
            for column in range(kernel):
                seen = padded[:, :, row : row + height : stride, column : column + width : stride]
                one = seen * self.weight[:, 0, row, column].view(-1, 1, 1)
                found = one if found is None else found + one
        assert found is not None
        return found


class Unfold(nn.Conv2d):
    """`im2col`, then a sum over the places of the kernel."""

    def forward(self, maps: Tensor) -> Tensor:
        count, channels, height, width = maps.shape
        kernel, stride = self.kernel_size[0], self.stride[0]
        columns = functional.unfold(maps, kernel, padding=kernel // 2, stride=stride)
        columns = columns.view(count, channels, kernel * kernel, -1)
        found = (columns * self.weight.view(channels, -1, 1)).sum(2)
        shape = count, channels, -(-height // stride), -(-width // stride)
        return found.view(shape).contiguous(memory_format=LAST)


PARTS: dict[str, type[nn.Conv2d]] = {
    "ours": Depthwise,
    "torch": nn.Conv2d,
    "first": nn.Conv2d,
    "float32": Float32,
    "shifts": Shifts,
    "unfold": Unfold,
}


def conv(kind: type[nn.Conv2d], channels: int, kernel: int, stride: int, groups: int) -> nn.Module:
    return nn.Sequential(
        kind(channels, channels, kernel, stride, kernel // 2, groups=groups, bias=False).to(BF16),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )


def separable(form: str, channels: int, kernel: int, stride: int) -> nn.Module:
    return nn.Sequential(
        conv(PARTS[form], channels, kernel, stride, channels),
        conv(nn.Conv2d, channels, 1, 1, 1),
    )


def step(layer: nn.Module, maps: Tensor, layout: torch.memory_format) -> Callable[[], None]:
    layer = layer.to(memory_format=layout).train()  # type: ignore[call-overload]
    maps = maps.detach().contiguous(memory_format=layout).requires_grad_()
    given = torch.randn_like(layer(maps))

    def run() -> None:
        layer(maps).backward(given)
        layer.zero_grad()
        maps.grad = None

    return run


def seconds(run: Callable[[], None]) -> float:
    """Of one step: the median of a window."""
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begin < WINDOW:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measured(
    channels: int, side: int, kernel: int, stride: int, batch: int, rounds: int
) -> Iterator[dict[str, Any]]:
    """A line for each form."""
    torch.manual_seed(0)
    maps = torch.randn(batch, channels, side, side).to(BF16)
    runs = {
        form: step(
            separable(form, channels, kernel, stride),
            maps,
            torch.contiguous_format if form == "first" else LAST,
        )
        for form in FORMS
        if side <= 14 or form not in ("shifts", "unfold")
    }
    plain = {k: step(conv(nn.Conv2d, channels, k, stride, 1), maps, LAST) for k in (1, kernel)}
    # a plain layer reads a map and writes one; a separable layer reads and writes one more
    out = -(-side // stride)
    into, outof = channels * side**2, channels * out**2
    macs = {k: k * k * channels * outof for k in (1, kernel)}
    own = kernel * kernel * outof + channels * outof
    times: dict[str, list[float]] = {form: [] for form in runs}
    expected: list[float] = []
    plains: list[float] = []
    for run in (*runs.values(), *plain.values()):
        run()
    for _ in range(rounds):
        told = {form: seconds(run) for form, run in runs.items()}
        small, large = (seconds(plain[k]) for k in (1, kernel))
        a_mac = max(large - small, 0.0) / (macs[kernel] - macs[1])
        a_number = max(small - a_mac * macs[1], 0.0) / (into + outof)
        expected.append(a_mac * own + a_number * (into + 3 * outof))
        plains.append(large)
        for form, one in told.items():
            times[form].append(one)
    for form in runs:
        ratios = [one / of for one, of in zip(times[form], expected, strict=True)]
        yield {
            "channels": channels, "map": side, "kernel": kernel, "stride": stride, "form": form,
            "ms": round(1e3 * statistics.median(times[form]), 2),
            "expected_ms": round(1e3 * statistics.median(expected), 2),
            "plain_ms": round(1e3 * statistics.median(plains), 2),
            "ratio": round(statistics.median(ratios), 2),
        }  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--quick", action="store_true", help="two small cases, few images")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    given = parser.parse_args(arguments)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rounds, batch = (2, 8) if given.quick else (given.rounds, given.batch)
    for case in QUICK if given.quick else CASES:
        for line in measured(*case, batch, rounds):
            words = "  ".join(f"{name} {value}" for name, value in line.items())
            print(json.dumps(line) if given.json else words, flush=True)
    torch.set_num_threads(threads)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
