"""The weights of a network as a file holds them: their names and shapes by arithmetic, no torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from ...sessions.files import content
from ..tasks.cnn.layout import Convolution, DenseLayer, Network

Stored = dict[str, NDArray[Any]]
"""By their names in the file: `mean`, `std`, `layers.0.weight`, ...; float32 or int64."""
Shape = tuple[int, ...]

WEIGHTS = "weights.safetensors"
EPSILON = 1e-5
"""What batch norm adds to a variance."""
HEADER_BYTES = 1 << 20
"""Of a file, at most: a network has some dozens of names."""
_NORM = ("weight", "bias", "running_mean", "running_var")
_KINDS: dict[str, type[np.generic]] = {"F32": np.float32, "I64": np.int64}


class NotThese(ValueError):
    """A file that holds something else than the weights of this network; the message says what."""


def expected(network: Network) -> dict[str, tuple[str, Shape]]:
    """Of each name what its numbers are, F32 or I64, and their shape."""
    channels = network.shape[0]
    shapes: dict[str, Shape] = {"mean": (channels, 1, 1), "std": (channels, 1, 1)}
    whole: dict[str, Shape] = {}
    for name, norm, conv in _convolutions(network):
        out = conv.channels_out
        shapes[f"{name}.weight"] = conv.shape
        if norm is not None:
            shapes.update({f"{norm}.{part}": (out,) for part in _NORM})
            whole[f"{norm}.num_batches_tracked"] = ()
        else:
            shapes[f"{name}.bias"] = (out,)
    for name, dense in _classifier(network):
        shapes[f"{name}.weight"] = (dense.outputs, dense.in_degree)
        shapes[f"{name}.bias"] = (dense.outputs,)
        if dense.in_degree != dense.inputs:
            whole[f"{name}.connections"] = (dense.outputs, dense.in_degree)
    return {
        **{name: ("F32", shape) for name, shape in shapes.items()},
        **{name: ("I64", shape) for name, shape in whole.items()},
    }


def _convolutions(network: Network) -> Iterator[tuple[str, str | None, Convolution]]:
    """Of each convolution its name, that of its batch norm if it has one, and what it is."""
    place = 0
    for layer in network.convolutions:
        for at, step in enumerate(layer.steps, start=place):
            if isinstance(step, Convolution):
                yield f"layers.{at}", f"layers.{at + 1}" if layer.batch_norm else None, step
        place += len(layer.steps)


def _classifier(network: Network) -> Iterator[tuple[str, DenseLayer]]:
    last = network.convolutions[-1]
    place = sum(len(layer.steps) for layer in network.convolutions)
    place += 1 + ((last.height_out, last.width_out) != network.pooled)  # average, flatten
    for dense in network.dense:
        yield f"layers.{place}", dense
        place += 2


def read(path: Path, network: Network) -> Stored:
    """The weights that a file holds of this network; nothing in it is run.

    Raises NotThese where it holds anything else, OSError.
    """

    def refused(why: str) -> NotThese:
        return NotThese(f"these are not the weights of this network: {why}")

    wanted = expected(network)
    sizes = {
        name: np.dtype(_KINDS[kind]).itemsize * int(np.prod(shape, dtype=object))
        for name, (kind, shape) in wanted.items()
    }
    held = content(path, sum(sizes.values()) + HEADER_BYTES)
    try:
        entries = dict(deserialize(held))  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise refused("it is no safetensors file, or not all of one") from error
    if entries.keys() != wanted.keys():
        raise refused("it holds other layers")
    found: Stored = {}
    for name, (kind, shape) in wanted.items():
        entry = entries[name]
        if entry["dtype"] != kind or tuple(entry["shape"]) != shape:
            raise refused(f"{name} is {entry['dtype']} of shape {entry['shape']}, not {kind} of "
                          f"shape {list(shape)}")  # fmt: skip
        found[name] = np.frombuffer(entry["data"], _KINDS[kind]).reshape(shape).copy()
        if kind == "F32" and not np.isfinite(found[name]).all():
            raise refused(f"{name} holds what is no number")
    for name, dense in _classifier(network):
        connections = found.get(f"{name}.connections")
        if connections is not None and not (
            connections.min() >= 0 and connections.max() < dense.inputs
        ):
            raise refused(f"{name} is connected to inputs that there are not")
    return found


def folded(network: Network, stored: Stored) -> dict[str, NDArray[np.float32]]:
    """The weights as `graph.graph` asks for them: batch norm in its convolution, zeros where a
    sparse layer has no connection.
    """
    found: dict[str, NDArray[np.float32]] = {name: stored[name] for name in ("mean", "std")}
    for index, (name, norm, _) in enumerate(_convolutions(network)):
        weight: NDArray[Any] = stored[f"{name}.weight"]
        if norm is not None:
            parts: list[NDArray[Any]] = [stored[f"{norm}.{part}"] for part in _NORM]
            gain, shift, mean, variance = parts
            scale: NDArray[Any] = gain / np.sqrt(variance + np.float32(EPSILON))
            weight, bias = weight * scale.reshape(-1, 1, 1, 1), shift - mean * scale
        else:
            bias = stored[f"{name}.bias"]
        found[f"conv{index}.weight"], found[f"conv{index}.bias"] = weight, bias
    for index, (name, dense) in enumerate(_classifier(network)):
        weight = stored[f"{name}.weight"]
        if dense.in_degree != dense.inputs:
            kept = weight
            weight = np.zeros((dense.outputs, dense.inputs), np.float32)
            np.put_along_axis(weight, stored[f"{name}.connections"], kept, 1)
        found[f"dense{index}.weight"] = weight
        found[f"dense{index}.bias"] = stored[f"{name}.bias"]
    return found
