"""Shortcuts, separable convolutions, activations: what they are, and that older networks stay."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lcsearch.engine.advisor.explain import differences
from lcsearch.engine.tasks import cnn
from lcsearch.engine.tasks.cnn.layout import NEUTRAL, Convolution, Network
from lcsearch.engine.tasks.space import InvalidConfig, Space
from lcsearch.engine.tasks.steps import neighbours
from lcsearch.engine.training import portable, stored
from lcsearch.engine.training.build import build
from lcsearch.engine.training.depthwise import Depthwise
from lcsearch.sessions.records import Config
from lcsearch.tui.networks import layers, network_line, whole_lines

from .conftest import benchmark
from .test_latency import unsettle

F = nn.functional
NETWORKS = Path(__file__).parent / "fixtures" / "networks.json"
SHAPE = (3, 21, 27)
FULL = cnn.space(SHAPE, 5, features=3)


def config(**given: Any) -> Config:
    """Of FULL, the rest at its defaults."""
    return FULL.resized({"conv_layers": 4, **given})


# -- networks of before ---------------------------------------------------------------------------


@pytest.mark.parametrize("kept", json.loads(NETWORKS.read_text()), ids=lambda one: one["key"])
def test_networks_of_before_are_the_same_bit_for_bit(kept: dict[str, Any]) -> None:
    """Modules, names, initial weights, costs and key: written before there were shortcuts."""
    shape = tuple(kept["shape"])
    space = cnn.space(shape, kept["classes"], features=kept["features"])
    for given in (kept["config"], space.read(kept["config"])):
        laid = cnn.network(given, shape, kept["classes"], kept["features"])
        model = build(laid, kept["seed"])
        assert type(model) is nn.Sequential
        assert [str(layer) for layer in model] == kept["modules"]
        digest = hashlib.sha256()
        for name, value in model.state_dict().items():
            digest.update(f"{name}{tuple(value.shape)}".encode())
            digest.update(value.contiguous().numpy().tobytes())
        assert digest.hexdigest() == kept["weights"]
        costs = ("params", "macs", "size", "activations")
        assert {cost: getattr(laid, cost) for cost in costs} == {c: kept[c] for c in costs}
        assert space.key(given) == kept["key"]


# -- what a network computes ----------------------------------------------------------------------


def averaged(maps: Tensor, height: int, width: int) -> Tensor:
    """Means of windows of 1, 2 or 4 on a side, those at the far edges cut off."""
    sizes = zip(maps.shape[2:], (height, width), strict=True)
    steps = [next(s for s in (1, 2, 4) if -(-size // s) == wanted) for size, wanted in sizes]
    rows = [
        torch.stack(
            [
                maps[:, :, y : y + steps[0], x : x + steps[1]].mean((2, 3))
                for x in range(0, maps.shape[3], steps[1])
            ],
            2,
        )
        for y in range(0, maps.shape[2], steps[0])
    ]
    return torch.stack(rows, 2)


def by_hand(config: Config, model: nn.Module, images: Tensor) -> Tensor:
    """The map before the classifier, in evaluation, from a configuration and the weights in order.

    Written from what the parameters mean, and from nothing of the layout.
    """
    weights = iter([m for m in model.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)])
    activate = {"relu": F.relu, "silu": F.silu, "hardswish": F.hardswish}[config["activation"]]

    def convolve(maps: Tensor, normed: bool, stride: int) -> Tensor:
        conv = next(weights)
        assert isinstance(conv, nn.Conv2d)
        padding = conv.kernel_size[0] // 2
        maps = F.conv2d(maps, conv.weight, conv.bias, stride, padding, groups=conv.groups)
        if normed:
            norm = next(weights)
            assert isinstance(norm, nn.BatchNorm2d)
            maps = norm(maps)
        return maps

    maps = images
    read: list[Tensor] = []
    for index in range(config["conv_layers"]):
        read.append(maps)
        normed = config["batch_norm"][index]
        stride = 2 if config["downsample"][index] == "stride" else 1
        if config["conv"][index] == "separable":
            maps = activate(convolve(maps, normed, stride))
            stride = 1
        maps = convolve(maps, normed, stride)
        assert maps.shape[1] == config["channels"][index]
        if config["shortcut"][index]:
            held = averaged(read[index - 1], *maps.shape[2:])
            wider = torch.zeros_like(maps)
            wider[:, : held.shape[1]] = held
            maps = maps + wider
        maps = activate(maps)
        if config["downsample"][index] == "pool":
            maps = F.max_pool2d(maps, 2, ceil_mode=True)
    assert next(weights, None) is None
    return maps


@pytest.mark.parametrize("shape", [SHAPE, (1, 8, 8), (2, 5, 1)])
def test_random_networks_compute_what_their_parameters_say(shape: tuple[int, int, int]) -> None:
    space = cnn.space(shape, 5, features=1, macs_cap=2)
    rng = np.random.default_rng(1)
    seen: set[object] = set()
    for seed in range(40):
        drawn = space.sample(rng)
        laid = cnn.network(drawn, shape, 5, 1)
        if laid.params > 1e6:
            continue
        model = build(laid, seed).eval()
        unsettle(model)
        images = torch.randn(2, *shape)
        with torch.inference_mode():
            maps = by_hand(drawn, model, images)
            classifier = nn.Sequential(*list(model)[list(map(type, model)).index(nn.Flatten) :])
            wanted = classifier(F.adaptive_avg_pool2d(maps, 1))
            torch.testing.assert_close(model(images), wanted, rtol=1e-4, atol=1e-4)
        seen |= {drawn["activation"], *drawn["conv"], *drawn["shortcut"]}
        seen |= {layer.shortcut.window for layer in laid.convolutions if layer.shortcut}
    assert seen >= {"relu", "silu", "hardswish", "plain", "separable", True, (1, 1)}


def test_what_is_written_is_what_was_built() -> None:
    """Names, shapes and kinds of the weights in a file, by arithmetic and by torch."""
    rng = np.random.default_rng(2)
    for seed in range(60):
        laid = cnn.network(FULL.sample(rng), SHAPE, 5, 3)
        if laid.params > 1e6:
            continue
        ones = np.ones(3, np.float32)
        network = portable.Portable(build(laid, seed), ones, ones)
        kinds = {torch.float32: "F32", torch.int64: "I64"}
        state = network.state_dict()
        assert stored.expected(laid) == {
            name: (kinds[value.dtype], tuple(value.shape)) for name, value in state.items()
        }


def test_batch_norm_is_folded_and_shortcuts_still_find_their_map() -> None:
    given = config(shortcut=[False, True, True, True], conv=["plain", *["separable"] * 3])
    model = build(cnn.network(given, SHAPE, 5, 3), 0)
    images = torch.randn(8, *SHAPE)
    model(images)
    model.eval()
    with torch.inference_mode():
        folded = portable.fused(model)
        assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded)
        torch.testing.assert_close(folded(images), model(images), rtol=1e-4, atol=1e-4)


def shifted(maps: Tensor, weight: Tensor, stride: int) -> Tensor:
    """A depthwise convolution as a sum over the places of its kernel."""
    kernel = weight.shape[2]
    height, width = maps.shape[2:]
    padded = F.pad(maps, (kernel // 2,) * 4)
    rows, columns = (range(kernel),) * 2
    return torch.stack(
        [
            padded[:, :, i : i + height : stride, j : j + width : stride]
            * weight[:, 0, i, j].view(-1, 1, 1)
            for i in rows
            for j in columns
        ]
    ).sum(0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(7, 7), (8, 4), (1, 5), (2, 1), (1, 1)])
def test_the_fast_gradients_of_a_depthwise_convolution_are_its_gradients(
    dtype: torch.dtype, size: tuple[int, int]
) -> None:
    """Whole numbers so small that every sum is exact, in bfloat16 too."""
    torch.manual_seed(0)

    def whole(*shape: int) -> Tensor:
        return torch.randint(-1, 2, shape).double()

    for kernel in (1, 3, 5, 7, 15):
        for stride in (1, 2):
            layer = Depthwise(12, 12, kernel, stride, kernel // 2, groups=12).to(dtype)
            with torch.no_grad():
                layer.weight.copy_(whole(*layer.weight.shape))
                layer.bias.copy_(whole(12))  # type: ignore[union-attr]
            weight, bias = (p.detach().double().requires_grad_() for p in layer.parameters())
            maps = whole(2, 12, *size).requires_grad_()
            wanted = shifted(maps, weight, stride) + bias.view(-1, 1, 1)
            given = whole(*wanted.shape)
            torch.autograd.backward(wanted, given)
            own = maps.detach().to(dtype).contiguous(memory_format=torch.channels_last)
            out = layer(own.requires_grad_())
            torch.autograd.backward(out, given.to(dtype))
            assert torch.equal(out.double(), wanted)
            pairs = zip((own, *layer.parameters()), (maps, weight, bias), strict=True)
            for ours, theirs in pairs:
                assert ours.grad is not None
                assert theirs.grad is not None
                assert ours.grad.dtype == dtype
                assert torch.equal(ours.grad.double(), theirs.grad)


def test_a_depthwise_convolution_that_is_used_is_a_plain_one() -> None:
    """For the exporter, and for whoever runs it, it is torch's own operator."""
    layer = Depthwise(16, 16, 5, padding=2, groups=16).eval()
    exported = torch.export.export(layer, (torch.randn(2, 16, 9, 9),))
    called = [str(node.target) for node in exported.graph.nodes if node.op == "call_function"]
    assert called == ["aten.conv2d.default"]


def test_the_benchmark_times_every_form(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark("separable").main(["--quick", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["form"] for line in lines[:6]] == [
        "ours", "torch", "first", "float32", "shifts", "unfold",
    ]  # fmt: skip
    assert len(lines) == 12
    assert all(line["ms"] > 0 and line["expected_ms"] > 0 for line in lines)


def test_separable_layers_alone_have_them() -> None:
    grouped = config(channels=[8] * 4, groups=[1, 8, 8, 8])
    model = build(cnn.network(grouped, SHAPE, 5, 3), 0)
    assert not any(isinstance(layer, Depthwise) for layer in model)
    separable = {**grouped, "conv": ["plain", "plain", "separable", "separable"]}
    model = build(cnn.network(separable, SHAPE, 5, 3), 0)
    assert sum(isinstance(layer, Depthwise) for layer in model) == 2


# -- what can be chosen ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"shortcut": [True, False, False, False]},
            "shortcut[1] = yes: no layer is before the first one. Set it to no.",
        ),
        (
            {"channels": [16, 32, 24, 24], "shortcut": [False, False, False, True]},
            "shortcut[4] = yes: channels[4] = 24 is fewer than the 32 channels of what is added "
            "there, the input of the layer before. Use 32 channels or more, or set shortcut[4] to "
            "no.",
        ),
        (
            {"channels": [2, 2, 24, 24], "shortcut": [False, True, False, False]},
            "shortcut[2] = yes: channels[2] = 2 is fewer than the 3 channels of what is added "
            "there, the input of the layer before. Use 3 channels or more, or set shortcut[2] to "
            "no.",
        ),
        (
            {"conv": ["separable", "plain", "plain", "plain"]},
            "conv[1] = separable: the first layer sees the image whole. Set it to plain.",
        ),
    ],
)
def test_what_cannot_be_built_is_refused_in_words(change: Config, sentence: str) -> None:
    given = config(channels=[16] * 4) | change
    assert FULL.problems(given) == [sentence]
    with pytest.raises(InvalidConfig) as raised:
        cnn.network(given, SHAPE, 5, 3)
    assert raised.value.problems == (sentence,)


def test_sampling_asks_for_nothing_that_is_refused() -> None:
    space = FULL.narrowed({"shortcut": "yes", "conv": "separable", "activation": "silu"})
    rng = np.random.default_rng(0)
    for _ in range(50):
        drawn = space.decode(rng.random(space.dimensions(0, space.defaults())).tolist(), 0, {})
        layers = drawn["conv_layers"]
        assert drawn["shortcut"] == [False] + [True] * (layers - 1)
        assert drawn["conv"] == ["plain"] + ["separable"] * (layers - 1)
        assert drawn["groups"] == [1] * layers
        assert space.problems(drawn) == []
        assert all(space.guided(drawn, level) for level in range(5))


def test_narrower_than_the_image_there_is_no_shortcut() -> None:
    wide = (40, 8, 8)
    space = cnn.space(wide, 5, domains={"shortcut": "yes", "channels": "8..24"})
    drawn = [space.sample(np.random.default_rng(seed), 1) for seed in range(20)]
    assert not any(one["shortcut"][1] for one in drawn)
    assert any(True in one["shortcut"] for one in drawn)


def test_groups_of_a_separable_layer_count_nothing() -> None:
    one = config(channels=[16] * 4, conv=["plain", "separable", "plain", "separable"])
    other = {**one, "groups": [1, 8, 1, 5]}
    assert FULL.problems(other) == []
    assert FULL.key(one) == FULL.key(other)
    assert differences(FULL, one, other) == ()
    assert FULL.guided(other, 2)
    assert cnn.network(one, SHAPE, 5, 3) == cnn.network(other, SHAPE, 5, 3)
    rows = FULL.encoding.rows([one, other, config(channels=[16] * 4)])
    np.testing.assert_array_equal(rows[0], rows[1])
    for row, given in zip(rows, (one, other), strict=False):
        np.testing.assert_array_equal(row, FULL.encoding.row(given))
    absent = {
        (column.parameter, column.index)
        for column, separable, plain in zip(FULL.encoding.columns, rows[0], rows[2], strict=True)
        if np.isnan(separable) and not np.isnan(plain)
    }
    assert absent == {("groups", 1), ("groups", 3)}
    # where the layer is plain they count, and one that becomes separable loses them
    grouped = config(channels=[16] * 4, groups=[1, 8, 1, 1])
    assert FULL.key(grouped) != FULL.key(config(channels=[16] * 4))
    separated = [c for c in neighbours(FULL, grouped, 2) if c["conv"][1] == "separable"]
    assert [c["groups"] for c in separated] == [[1, 1, 1, 1]]


def test_neighbours_change_one_of_them() -> None:
    given = config(channels=[16] * 4)
    assert any(c["shortcut"] == [False, False, True, False] for c in neighbours(FULL, given, 1))
    kinds = {c["activation"] for c in neighbours(FULL, given, 2)}
    assert kinds == {"relu", "silu", "hardswish"}


# -- networks that people deliver -----------------------------------------------------------------


def laid_out(shape: tuple[int, int, int], classes: int, features: int, **given: Any) -> Network:
    space: Space = cnn.space(shape, classes, features=features)
    layers = len(given["channels"])
    whole = space.resized({"conv_layers": layers, **given})
    assert space.problems(whole) == []
    return cnn.network(whole, shape, classes, features)


def resnet_8(shape: tuple[int, int, int]) -> Network:
    """MLPerf Tiny's for small images, without its projections."""
    return laid_out(
        shape, 10, 1,
        channels=[16, 16, 16, 32, 32, 64, 64],
        downsample=["none", "none", "none", "stride", "none", "stride", "none"],
        shortcut=[False, False, True, False, True, False, True],
    )  # fmt: skip


def test_resnet_8() -> None:
    # its inventors count 12.5 million, two projections of 131,072 among them
    first = 27 * 16 * 32**2
    blocks = sum(
        9 * side**2 * (before * out + out * out)
        for before, out, side in ((16, 16, 32), (16, 32, 16), (32, 64, 8))
    )
    network = resnet_8((3, 32, 32))
    assert network.macs == first + blocks + 640 == 12_501_632 - 2 * 131_072
    held = [layer.shortcut for layer in network.convolutions if layer.shortcut]
    assert [(one.window, one.missing) for one in held] == [((1, 1), 0), ((2, 2), 16), ((2, 2), 32)]


def test_ds_cnn() -> None:
    network = laid_out(
        (1, 28, 28), 10, 1,
        channels=[64] * 5,
        downsample=["stride"] + ["none"] * 4,
        conv=["plain"] + ["separable"] * 4,
    )  # fmt: skip
    assert network.macs == 14**2 * (9 * 64 + 4 * (9 * 64 + 64 * 64)) + 640
    assert network.params == 9 * 64 + 4 * (9 * 64 + 64 * 64) + 2 * 64 * (1 + 4 * 2) + 650
    assert (round(network.macs, -4), network.params) == (3_780_000, 21_066)


def test_mobilenet_a_quarter_as_wide() -> None:
    """All 13 separable layers (Howard et al. 2017, table 1), for the images of MLPerf Tiny."""
    widths = (16, 32, 32, 64, 64, *[128] * 6, 256, 256)
    strides = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
    macs, before, side = 27 * 8 * 48**2, 8, 48
    for width, stride in zip(widths, strides, strict=True):
        side //= stride
        macs += side**2 * before * (9 + width)
        before = width
    network = laid_out(
        (3, 96, 96), 2, 1,
        channels=[8, *widths],
        downsample=["stride", *("stride" if stride == 2 else "none" for stride in strides)],
        conv=["plain"] + ["separable"] * 13,
    )  # fmt: skip
    assert network.macs == macs + 512
    assert round(network.macs / 1e6, 1) == 7.5  # what MLPerf Tiny's authors say of it
    depthwise = [
        one for layer in network.convolutions for one in layer.convolutions if one.depthwise
    ]
    assert len(depthwise) == 13
    assert depthwise[1] == Convolution(16, 16, 3, 16, 2, depthwise=True)


def test_bytes_that_a_shortcut_holds_by_hand() -> None:
    network = laid_out(
        (1, 8, 8), 10, 1, channels=[8, 16, 16], shortcut=[False, False, True]
    )  # fmt: skip
    # the third layer reads 16 maps and writes 16, while 8 are held
    assert network.activations == 4 * 64 * (8 + 16 + 16)
    separable = laid_out(
        (1, 8, 8), 10, 1,
        channels=[8, 16, 32],
        shortcut=[False, False, True],
        conv=["plain", "plain", "separable"],
    )  # fmt: skip
    assert separable.activations == 4 * 64 * (8 + 16 + 32)


# -- how it is written ----------------------------------------------------------------------------


def test_a_line_tells_what_there_is_and_nothing_of_what_there_is_not() -> None:
    given = config(
        channels=[16, 16, 16, 32],
        downsample=["none", "none", "none", "stride"],
        shortcut=[False, False, True, True],
        conv=["plain", "plain", "separable", "separable"],
        activation="silu",
    )
    assert network_line(given) == "16 · 16 · +16 · +32↓  k3333 b1111 s0011 silu"
    assert network_line(given, 1) == "16 · 16 · +16 · +32↓"
    assert network_line(given, 2, 30) == "k3333 b1111 s0011 silu  16·16·+16·+32↓"
    assert "k3333 b1111 s0011 silu" in whole_lines(given)
    plain = config(channels=[16, 16, 16, 32])
    assert network_line(plain) == "16 · 16 · 16 · 32  k3333 b1111"
    older = {name: value for name, value in plain.items() if name not in NEUTRAL}
    assert whole_lines(older) == whole_lines(plain)


def test_a_table_has_them() -> None:
    given = config(
        channels=[16, 16, 16, 32],
        shortcut=[False, False, True, False],
        conv=["plain", "separable", "plain", "plain"],
        activation="hardswish",
    )
    rows = layers(FULL, given)
    assert [" ".join(brief for brief, _ in row.how) for row in rows[:4]] == [
        "bn",
        "sep bn",
        "bn +",
        "bn",
    ]
    assert (rows[1].how[0][1], rows[2].how[-1][1]) == ("separable", "shortcut")
    assert rows[-1].alone == "activation hardswish"
    assert rows[1].macs == 21 * 27 * 16 * (9 + 16)
    assert not any("activation" in row.what for row in layers(FULL, config()))
