"""Writes a trained network so that it can be used without lcsearch: source, weights, ONNX."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from ...sessions.records import Preparation
from .sparse import SparseLinear

WEIGHTS, SOURCE, ONNX = "weights.safetensors", "network.py", "network.onnx"

_SPARSE = '''
class SparseLinear(nn.Module):
    """A linear layer that has only some connections: `connections` says to which inputs."""

    def __init__(self, inputs: int, outputs: int, in_degree: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.weight = nn.Parameter(torch.zeros(outputs, in_degree))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("connections", torch.zeros(outputs, in_degree, dtype=torch.int64))

    def forward(self, features: Tensor) -> Tensor:
        dense = self.weight.new_zeros(self.weight.shape[0], self.inputs)
        return nn.functional.linear(
            features, dense.scatter(1, self.connections, self.weight), self.bias
        )

'''

_MODULE = '''"""{title}

It needs nothing but PyTorch:

    from network import load
    network = load()          # the weights are in {weights}, beside this file
    logits = network(images)  # float32, shape (n, {channels}, {height}, {width}), {pixels}
    classes = logits.argmax(1)
"""

import json
from pathlib import Path

import torch
from torch import Tensor, nn

{sparse}
class Network(nn.Module):
    """Images of shape (n, {channels}, {height}, {width}) to logits of shape (n, {classes})."""

    def __init__(self) -> None:
        super().__init__()
        # of the images that it was trained on, channel by channel
        self.register_buffer("mean", torch.tensor({mean}).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor({std}).view(-1, 1, 1))
        self.layers = nn.Sequential(
{layers}
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers((images - self.mean) / self.std)


def load(path: str | Path = Path(__file__).with_name("{weights}")) -> Network:
    """The network with its trained weights, ready to predict.

    safetensors: the length of a JSON header (8 bytes, little-endian), the header, the numbers.
    """
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        numbers = bytearray(file.read())
    kinds = {{"F32": torch.float32, "I64": torch.int64}}
    header.pop("__metadata__", None)
    state = {{}}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        kind = kinds[entry["dtype"]]
        state[name] = torch.frombuffer(
            numbers, dtype=kind, offset=begin, count=(end - begin) // kind.itemsize
        ).view(entry["shape"])
    network = Network()
    network.load_state_dict(state)
    return network.eval()
'''


class Portable(nn.Module):
    """A network with the normalisation of its images: takes them as they are stored.

    images: shape (n, channels, height, width).  mean, std: shape (channels,).
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, model: nn.Sequential, mean: NDArray[np.float32], std: NDArray[np.float32]
    ) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.from_numpy(values).view(-1, 1, 1))
        self.layers = nn.Sequential(*(_plain(layer) for layer in model)).cpu()

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits of shape (n, classes)."""
        logits: Tensor = self.layers((images - self.mean) / self.std)
        return logits


class _Scattered(nn.Module):
    """A sparse layer in the form that is written: weights, and the inputs that they belong to."""

    connections: Tensor

    def __init__(self, layer: SparseLinear) -> None:
        super().__init__()
        self.inputs, self.in_degree = layer.inputs, layer.in_degree
        self.weight, self.bias = layer.weight, layer.bias
        self.register_buffer("connections", layer.connected())

    def forward(self, features: Tensor) -> Tensor:
        dense = self.weight.new_zeros(self.weight.shape[0], self.inputs)
        return nn.functional.linear(
            features, dense.scatter(1, self.connections, self.weight), self.bias
        )


def _plain(layer: nn.Module) -> nn.Module:
    return _Scattered(layer) if isinstance(layer, SparseLinear) else layer


def source(network: Portable, shape: tuple[int, int, int], title: str, pixels: str) -> str:
    """A Python module that needs only torch and builds exactly this network.

    shape: channels, height, width of an image.  pixels: what their numbers are, in words.
    """
    layers = list(_written(network.layers))
    sparse = any(isinstance(layer, _Scattered) for layer in network.layers)
    last = network.layers[-1]
    assert isinstance(last, nn.Linear | _Scattered)
    return _MODULE.format(
        title=title,
        weights=WEIGHTS,
        channels=shape[0],
        height=shape[1],
        width=shape[2],
        classes=len(last.bias),
        pixels=pixels,
        sparse=f"{_SPARSE}\n" if sparse else "",
        mean=network.mean.flatten().tolist(),
        std=network.std.flatten().tolist(),
        layers="\n".join(f"            {layer}," for layer in layers),
    )


def _written(layers: nn.Sequential) -> Iterator[str]:
    """Each layer as the Python expression that builds it."""
    for layer in layers:
        match layer:
            case nn.Conv2d():
                words = [f"{layer.in_channels}, {layer.out_channels}, {layer.kernel_size[0]}"]
                words += [f"stride={layer.stride[0]}"] if layer.stride[0] != 1 else []
                words += [f"padding={layer.padding[0]}"] if layer.padding[0] else []
                words += [f"groups={layer.groups}"] if layer.groups != 1 else []
                words += ["bias=False"] if layer.bias is None else []
                yield f"nn.Conv2d({', '.join(words)})"
            case nn.BatchNorm2d():
                yield f"nn.BatchNorm2d({layer.num_features})"
            case nn.ReLU():
                yield "nn.ReLU()"
            case nn.MaxPool2d():
                yield f"nn.MaxPool2d({layer.kernel_size}, ceil_mode={layer.ceil_mode})"
            case nn.AdaptiveAvgPool2d():
                yield f"nn.AdaptiveAvgPool2d({layer.output_size})"
            case nn.Flatten():
                yield "nn.Flatten()"
            case nn.Linear():
                yield f"nn.Linear({layer.in_features}, {layer.out_features})"
            case _Scattered():
                yield f"SparseLinear({layer.inputs}, {len(layer.bias)}, {layer.in_degree})"
            case _:
                raise TypeError(f"{type(layer).__name__}: there is no text for this layer")


def write_weights(network: Portable, path: Path) -> None:
    """All weights and buffers as safetensors.  Raises OSError."""
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(state, path)
    path.chmod(path.parent.stat().st_mode & 0o666)  # it is made for its owner alone


def write_onnx(
    network: Portable,
    shape: tuple[int, int, int],
    path: Path,
    classes: Sequence[str],
    prepared: Preparation | None = None,
) -> None:
    """The network as ONNX: input `images`, any number of them; output `logits`.

    classes: their names, kept as a JSON list under `classes` in the model's metadata.  prepared:
    how image files become images, kept as a JSON object under `prepared`.

    Raises ImportError where the extra lcsearch[onnx] is not installed, OSError.
    """
    import onnxscript  # noqa: F401 - asked for by the exporter: missing is told before it begins

    # the exporter is talkative on both channels
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network.eval(),
            (torch.zeros(2, *shape),),
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("images", min=1)},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props["classes"] = json.dumps(list(classes), ensure_ascii=False)
    if prepared is not None:
        program.model.metadata_props["prepared"] = prepared.model_dump_json()
    program.save(path)
