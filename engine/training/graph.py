"""A network as an ONNX graph, written without torch: what is timed for its latency.

torch's own exporter takes seconds a network.  This one takes milliseconds, folds batch norm into
its convolution as every runtime would, and holds whatever weights it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from ..tasks.cnn.layout import (
    HARDSWISH,
    RELU,
    SILU,
    Convolution,
    DenseLayer,
    Network,
    Norm,
    Shortcut,
    Step,
)

Array = NDArray[np.float32]
Weights = Callable[[str, tuple[int, ...]], Array]
"""The array of this name and shape: `conv0.weight`, (out, in / groups, kernel, kernel)."""
OPSET = 17
IR_VERSION = 8


def graph(network: Network, weights: Weights, images: int | str = 1) -> Any:
    """An `onnx.ModelProto`: `images`, (1, channels, height, width), to its logits, (1, classes).

    weights: asked for `mean` and `std` of the images, (channels, 1, 1), and for `weight` and `bias`
    of every `conv0`, ... and `dense0`, ...: a separable layer has two convolutions, one behind the
    other; those of a sparse layer hold zeros.  images: how many
    there are at once; a word: any number.
    """
    writer = _Writer(weights)
    channels, height, width = network.shape
    for name, operator in (("mean", "Sub"), ("std", "Div")):
        writer.add(operator, writer.array(name, (channels, 1, 1)))
    before = begin = writer.last
    convolutions = 0
    for layer in network.convolutions:
        before, begin = begin, writer.last
        for step in layer.steps:
            _step(writer, step, f"conv{convolutions}", before, network.activation)
            convolutions += isinstance(step, Convolution)
        height, width = layer.height_out, layer.width_out
    _average(writer, (height, width), network.pooled)
    writer.add("Flatten", axis=1)
    for index, dense in enumerate(network.dense):
        if index:
            _activate(writer, network.activation)
        _dense(writer, index, dense)
    classes = network.dense[-1].outputs
    made = helper.make_graph(
        writer.nodes,
        "network",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [images, *network.shape])],
        [helper.make_tensor_value_info(writer.last, TensorProto.FLOAT, [images, classes])],
        writer.arrays,
    )
    opset = [helper.make_opsetid("", OPSET)]
    return helper.make_model(made, opset_imports=opset, ir_version=IR_VERSION)


def spread(network: Network) -> Weights:
    """Weights that keep the size of what goes through: no runtime meets infinities or zeros."""
    largest = max(
        [9]
        + [conv.weights for conv in network.convolutions]
        + [dense.inputs * dense.outputs for dense in network.dense]
    )
    numbers = np.resize(np.random.default_rng(0).standard_normal(1 << 16, np.float32), largest)

    def weights(name: str, shape: tuple[int, ...]) -> Array:
        if name == "std":
            return np.ones(shape, np.float32)
        size = int(np.prod(shape))
        scale = np.sqrt(2 / (size / shape[0])) if name.endswith("weight") else 0.1
        return (numbers[:size] * np.float32(scale)).reshape(shape)

    return weights


class _Writer:
    """Nodes one behind another, each reading what the one before it wrote."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self.nodes: list[Any] = []
        self.arrays: list[Any] = []
        self.last = "images"

    def array(self, name: str, shape: tuple[int, ...]) -> str:
        """Keep one of the weights; gives its name."""
        return self.keep(name, self._weights(name, shape))

    def keep(self, name: str, values: NDArray[Any]) -> str:
        """Keep these numbers under this name."""
        self.arrays.append(onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, operator: str, *others: str, first: str = "", **attributes: Any) -> None:
        """A node.  first: read before what the node before it wrote."""
        read = [first] * bool(first) + [self.last, *others]
        self.last = f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, read, [self.last], **attributes))


def _step(writer: _Writer, step: Step, name: str, before: str, activation: str) -> None:
    """What a layer does next.

    name: of its weights.  before: what the layer before this one reads.
    """
    match step:
        case Convolution():
            writer.add(
                "Conv",
                writer.array(f"{name}.weight", step.shape),
                writer.array(f"{name}.bias", (step.channels_out,)),
                group=step.groups,
                kernel_shape=[step.kernel] * 2,
                pads=[step.kernel // 2] * 4,
                strides=[step.stride] * 2,
            )
        case Shortcut():
            _add(writer, step, before)
        case "pool":
            writer.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
        case "activation":
            _activate(writer, activation)
        case Norm():
            pass  # it is in the weights of its convolution


def _activate(writer: _Writer, activation: str) -> None:
    given = writer.last
    if activation == SILU:
        writer.add("Sigmoid")
        writer.add("Mul", first=given)
    else:
        writer.add({RELU: "Relu", HARDSWISH: "HardSwish"}[activation])


def _add(writer: _Writer, shortcut: Shortcut, held: str) -> None:
    """Add an earlier map to the last one: averaged down to its size, zeros behind its channels."""
    given, writer.last = writer.last, held
    if shortcut.window != (1, 1):
        window = list(shortcut.window)
        writer.add("AveragePool", kernel_shape=window, strides=window, ceil_mode=1)
    if shortcut.missing:
        ends = np.array([0, 0, 0, 0, 0, shortcut.missing, 0, 0], np.int64)
        writer.add("Pad", writer.keep(f"ends{len(writer.nodes)}", ends))
    writer.add("Add", first=given)


def _average(writer: _Writer, size: tuple[int, int], pooled: tuple[int, int]) -> None:
    """Adaptive average pooling: windows of one size, or, where they differ, two products."""
    if size == pooled:
        return
    if all(whole % part == 0 for whole, part in zip(size, pooled, strict=True)):
        window = [whole // part for whole, part in zip(size, pooled, strict=True)]
        writer.add("AveragePool", kernel_shape=window, strides=window)
        return
    rows, columns = (_windows(whole, part) for whole, part in zip(size, pooled, strict=True))
    writer.add("MatMul", writer.keep("columns", columns.T))
    writer.add("MatMul", first=writer.keep("rows", rows))


def _windows(size: int, parts: int) -> Array:
    """What each of the parts is the mean of, shape (parts, size)."""
    windows = np.zeros((parts, size), np.float32)
    for part in range(parts):
        begin, end = part * size // parts, -(-(part + 1) * size // parts)
        windows[part, begin:end] = 1 / (end - begin)
    return windows


def _dense(writer: _Writer, index: int, layer: DenseLayer) -> None:
    writer.add(
        "Gemm",
        writer.array(f"dense{index}.weight", (layer.outputs, layer.inputs)),
        writer.array(f"dense{index}.bias", (layer.outputs,)),
        transB=1,
    )
