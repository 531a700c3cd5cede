"""Writes a trained network so that it can be used without lcsearch: source, weights, ONNX."""

from __future__ import annotations

import inspect
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .preparing import Preparing
from .shortcut import Residual, Shortcut
from .sparse import SparseLinear
from .stored import WEIGHTS

SOURCE, ONNX = "network.py", "network.onnx"

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

To tell what is in an image file needs PyTorch and Pillow (11.3 or newer):

    from network import predict
    name, probability = predict("photo.jpg")[0]  # all classes, the most probable first

The network by itself needs nothing but PyTorch:

    from network import load, preprocess
    network = load()          # the weights are in {weights}, beside this file
    logits = network(images)  # float32, shape (n, {channels}, {height}, {width}), {pixels}
    classes = logits.argmax(1)
"""

from __future__ import annotations

import functools
import io
import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from PIL.Image import Image

{names}
{sparse}{shortcut}
class Network(nn.Module):
    """Images of shape (n, {channels}, {height}, {width}) to logits of shape (n, {classes})."""

    def __init__(self) -> None:
        super().__init__()
        # of the images that it was trained on, channel by channel
        self.register_buffer("mean", torch.tensor({mean}).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor({std}).view(-1, 1, 1))
        self.layers = {kind}(
{layers}
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers((images - self.mean) / self.std)


def load(path: str | Path = Path(__file__).with_name("{weights}")) -> Network:
    """The network with its trained weights, ready to predict.

    safetensors: the length of a JSON header (8 bytes, little-endian), the header, the numbers.
    Raises ValueError where the file holds anything but weights of this network; OSError.
    """
    content = Path(path).read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8:start]) if start <= len(content) else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise _refused(path, "it is no safetensors file, or not all of one")
    header.pop("__metadata__", None)
    network = Network()
    expected = network.state_dict()
    if header.keys() != expected.keys():
        raise _refused(path, "it holds other layers")
    state = {{}}
    for name, value in expected.items():
        kind = "I64" if value.dtype == torch.int64 else "F32"
        entry = header[name] if isinstance(header[name], dict) else {{}}
        if entry.get("dtype") != kind or entry.get("shape") != list(value.shape):
            raise _refused(path, f"{{name}} is not {{kind}} of shape {{list(value.shape)}}")
        size = value.numel() * value.itemsize
        offsets = entry.get("data_offsets")
        begin = offsets[0] if isinstance(offsets, list) and offsets else None
        if type(begin) is not int or begin < 0 or start + begin + size > len(content):
            raise _refused(path, f"there are too few numbers for {{name}}")
        numbers = bytearray(content[start + begin : start + begin + size])
        state[name] = torch.frombuffer(numbers, dtype=value.dtype).view(value.shape)
        if not state[name].isfinite().all():
            raise _refused(path, f"{{name}} holds what is no number")
    network.load_state_dict(state)
{check}    return network.eval()


def _refused(path: str | Path, why: str) -> ValueError:
    return ValueError(
        f"{{path}}: these are not the weights of this network: {{why}}. "
        "Use the file that was written beside network.py."
    )
'''

_CHECK = """    for layer in network.modules():
        if isinstance(layer, SparseLinear):
            least, most = layer.connections.aminmax()
            if least < 0 or most >= layer.inputs:
                raise _refused(path, "it connects to inputs that there are not")
"""

_PREDICT = '''

def preprocess(image: Image) -> Tensor:
    """What the network takes of an image of Pillow: float32, shape ({channels}, {height}, {width}).

    {how}
    EXIF turns it, what is transparent is laid over the background, and normalisation is the
    network's own; several are put together by torch.stack.  Give it an image as Image.open does,
    not read yet: a large JPEG is then read no larger than is needed, as it was for the training;
    one that was read whole is scaled from there and differs a little.  Raises Broken.
    """
    shown = prepared(own(image), HOW)
    pixels = torch.frombuffer(bytearray(shown.tobytes()), dtype=torch.uint8)
    pixels = pixels.view(HOW.height, HOW.width, HOW.channels).permute(2, 0, 1)
    return scaled(pixels.contiguous().float(), BLACK, WHITE)


_loaded = functools.cache(load)


def predict(path: str | Path) -> list[tuple[str, float]]:
    """The name and the probability of every class, the most probable first.

    Raises Broken for what is no image; ValueError, OSError.
    """
    image = preprocess(opened(Path(path).read_bytes()))
    with torch.inference_mode():
        told = _loaded()(image[None]).softmax(1)[0].tolist()
    return sorted(zip(CLASSES, told, strict=True), key=lambda pair: -pair[1])
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
        self.layers = type(model)(*(_plain(layer) for layer in model)).cpu()

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


def fused(layers: nn.Sequential) -> nn.Sequential:
    """The same network with batch norm in its convolutions, as every runtime would run it."""
    found: list[nn.Module] = []
    places: list[int] = []
    for layer in layers:
        places.append(len(found))
        if isinstance(layer, nn.BatchNorm2d):
            before = found.pop()
            assert isinstance(before, nn.Conv2d)
            layer = fuse_conv_bn_eval(before, layer)
        elif isinstance(layer, Shortcut):
            layer = Shortcut(places[layer.held], layer.window, layer.missing)
        found.append(layer)
    return type(layers)(*found)


def source(network: Portable, title: str, preparing: Preparing) -> str:
    """A Python module that needs only torch, and Pillow for images, and builds exactly this
    network.

    preparing: what becomes of an image, and the names of the classes.
    """
    layers = list(_written(network.layers))
    sparse = any(isinstance(layer, _Scattered) for layer in network.layers)
    copied = (Shortcut, Residual) if isinstance(network.layers, Residual) else ()
    last = network.layers[-1]
    assert isinstance(last, nn.Linear | _Scattered)
    channels, height, width = preparing.shape
    words = {"channels": channels, "height": height, "width": width}
    module = _MODULE.format(
        **words,
        title=title,
        weights=WEIGHTS,
        classes=len(last.bias),
        pixels=preparing.pixels,
        names=preparing.names(),
        sparse=f"{_SPARSE}\n" if sparse else "",
        check=_CHECK if sparse else "",
        shortcut="".join(f"\n{inspect.getsource(part)}\n" for part in copied),
        kind="Residual" if copied else "nn.Sequential",
        mean=network.mean.flatten().tolist(),
        std=network.std.flatten().tolist(),
        layers="\n".join(f"            {layer}," for layer in layers),
    )
    predict = _PREDICT.format(**words, how=preparing.words)
    return f"{module}{preparing.copied()}{predict}"


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
            case nn.ReLU() | nn.SiLU() | nn.Hardswish():
                yield f"nn.{type(layer).__name__}()"
            case Shortcut():
                yield f"Shortcut({layer.held}, {layer.window}, {layer.missing})"
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


def metadata(preparing: Preparing) -> dict[str, str]:
    """What an ONNX file says of itself: the names of the classes as a JSON list under `classes`,
    how image files become images as a JSON object under `prepared`, and what black and white are
    as a list of two under `levels`.
    """
    return {
        "classes": json.dumps(preparing.classes, ensure_ascii=False),
        "prepared": preparing.steps.model_dump_json(),
        "levels": json.dumps(preparing.levels),
    }


def write_onnx(network: Portable, path: Path, preparing: Preparing) -> None:
    """The network as ONNX: input `images`, any number of them; output `logits`.

    preparing: what of it is kept in the model's metadata, see `metadata`.

    Raises ImportError where the extra lcsearch[onnx] is not installed, OSError.
    """
    import onnxscript  # noqa: F401 - asked for by the exporter: missing is told before it begins

    # the exporter is talkative on both channels
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network.eval(),
            (torch.zeros(2, *preparing.shape),),
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("images", min=1)},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props.update(metadata(preparing))
    program.save(path)
