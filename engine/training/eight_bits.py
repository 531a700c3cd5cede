"""A network in eight bits: its graph quantised by onnxruntime, and what it tells of images.

Activations are uint8, one range a tensor; weights int8, one range a channel; sums int32.  In the
form of pairs of QuantizeLinear and DequantizeLinear (QDQ), which leave the logits unrounded and
which other runtimes read; whole operators are as right and as fast, and a little smaller.
"""

from __future__ import annotations

import hashlib
import math
import platform
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...sessions.records import EightBits
from ..metric import Confusion
from ..protocol import FinalResult
from ..tasks.cnn.layout import BYTES, DenseLayer, Network
from .data.face import Images, Labels, Numbers, Split
from .data.read import Data
from .latency import beside
from .runtime import session
from .stored import WEIGHTS, Stored, folded, read

INT8 = "network-int8.onnx"
CALIBRATION = 512
"""Training images that the ranges of activations are taken from, at most."""
MOST_JUDGED = 10_000
"""Images that the loss is decided on, at most."""
BATCH = 64

QUANTISED = (
    "Conv", "Gemm", "Relu", "Clip", "MaxPool", "AveragePool", "GlobalAveragePool", "Flatten",
    "Reshape", "Add", "Mul", "Sigmoid", "HardSigmoid", "HardSwish", "Pad", "Concat",
)  # fmt: skip
"""Operators that work on eight bits; a product with the windows of an uneven average does not."""
_VNNI = {"avx512_vnni", "avx_vnni"}
_ARM = {"arm64", "aarch64"}
_CPU = Path("/proc/cpuinfo")
_PREPARED = "onnx.quant.pre_process"
"""In a model's metadata: it has been simplified, so that onnxruntime does not ask for it."""


def weight_bits(machine: str = platform.machine(), cpu: Path = _CPU) -> Literal[7, 8]:
    """Bits of a weight on this processor: 7 where two products of 8 could overflow.

    x86 without VNNI adds them up in 16 bits (onnxruntime: reduce_range); with it, and on ARM, in
    32.  Where that cannot be read it is 7, which is right everywhere.
    """
    if machine.lower() in _ARM:
        return 8
    try:
        words = set(cpu.read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return 7
    return 8 if words & _VNNI else 7


def divided(
    train: Numbers, validated: Numbers, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of training images those that ranges are taken from, and those that the loss is decided on.

    validated: of them, what the search validated on, and the loss is decided there; where it is
    empty, it is on others of them, half at most.  Drawn by the seed alone.
    """
    rng = np.random.default_rng(seed)
    if len(validated):
        others = rng.permutation(np.setdiff1d(train, validated))
        calibration = others if len(others) else validated
        return np.sort(calibration[:CALIBRATION]), np.sort(rng.permutation(validated)[:MOST_JUDGED])
    drawn = rng.permutation(train)
    count = max(1, min(CALIBRATION, len(drawn) // 2))
    return np.sort(drawn[:count]), np.sort(drawn[count:][:MOST_JUDGED])


def write(
    folder: Path,
    network: Network,
    data: Data,
    test: Split,
    result: FinalResult,
    metadata: Mapping[str, str],
) -> EightBits:
    """Write `network-int8.onnx` beside the weights and the float32 ONNX of a folder, and judge it.

    data: that it was trained on, by the seed and the metric of `result`.  metadata: of the file.
    Raises OSError; what onnxruntime and onnx raise.
    """
    import onnx

    from .portable import ONNX

    pool, classes = data.pool, len(data.summary.class_names)
    # of all images the search validated on none, or on a part that chance has chosen
    validated = data.validated if result.images == "session" else data.validated[:0]
    ranged, judged = divided(data.train_numbers, validated, result.seed)
    bits = weight_bits()
    model = float_graph(network, read(folder / WEIGHTS, network))
    made = quantised(network, model, batches(pool.images, ranged), bits, metadata)
    content = made.SerializeToString()
    (folder / INT8).write_bytes(content)

    def told(form: bytes) -> float:
        images = batches(pool.images, judged)
        return confusion(form, images, pool.labels[judged], classes).score(result.metric)

    every = np.arange(len(test))
    tested = confusion(content, batches(test.images, every), test.labels, classes)
    whole = (folder / ONNX).read_bytes()
    float_latency, own = beside([whole, content], network.shape)
    return EightBits(
        loss=round(told(model.SerializeToString()) - told(content), 8),
        images=len(judged),
        judged_on="validation" if len(validated) else "training",
        calibration=len(ranged),
        test_accuracy=tested.accuracy,
        test_metric=tested.score(result.metric),
        weight_bits=bits,
        bytes=len(content),
        weight_bytes=constant_bytes(made),
        float_bytes=len(whole),
        float_weight_bytes=constant_bytes(onnx.load_model_from_string(whole)),
        latency=own,
        float_latency=float_latency,
        sha256=hashlib.sha256(content).hexdigest(),
    )


def float_graph(network: Network, stored: Stored) -> Any:
    """The `onnx.ModelProto` in float32 that is quantised: `images`, any number, to `logits`."""
    from .graph import graph

    arrays = folded(network, stored)
    model = graph(network, lambda name, shape: arrays[name], "images")
    last = model.graph.output[0]
    for node in model.graph.node:
        node.output[:] = ["logits" if name == last.name else name for name in node.output]
    last.name = "logits"
    return model


def quantised(
    network: Network,
    model: Any,
    images: Iterable[Images],
    bits: int,
    metadata: Mapping[str, str],
) -> Any:
    """The `onnx.ModelProto` in eight bits.  Raises OSError; what onnxruntime and onnx raise.

    model: as of `float_graph`.  images: batches, (n, channels, height, width), that the ranges of
    activations are taken from.  bits: of a weight, 7 or 8.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(images)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            batch = next(self._left, None)
            return None if batch is None else {"images": batch.astype(np.float32)}

    source = _suited(model)
    source.metadata_props.add(key=_PREPARED, value="onnxruntime.quant")
    with tempfile.TemporaryDirectory(prefix="lcsearch-") as place:
        path = Path(place, INT8)
        quantize_static(
            source,
            path,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=bits < 8,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(QUANTISED),
            calibrate_method=CalibrationMethod.MinMax,
        )
        made = onnx.load(path)
    _keep_logits(made.graph)
    for index, dense in enumerate(network.dense):
        if dense.deployed_bytes(BYTES["int8"]) < dense.inputs * dense.outputs:
            _thin(made.graph, f"dense{index}.weight_quantized", dense)
    del made.metadata_props[:]
    for key, value in metadata.items():
        made.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(made)
    return made


def _suited(model: Any) -> Any:
    """A copy with each ReLU before its pool: the same numbers.

    The pool then works on eight bits with the ranges of what the convolution gives, and no range
    is of numbers below 0 that are thrown away.
    """
    import onnx

    copy = onnx.ModelProto.FromString(model.SerializeToString())
    read_by = Counter(name for node in copy.graph.node for name in node.input)
    for pool, relu in pairwise(copy.graph.node):
        alone = list(relu.input) == list(pool.output) and read_by[pool.output[0]] == 1
        if alone and (pool.op_type, relu.op_type) == ("MaxPool", "Relu"):
            relu.attribute.extend(pool.attribute)
            del pool.attribute[:]
            pool.op_type, relu.op_type = relu.op_type, pool.op_type
    return copy


def _keep_logits(graph: Any) -> None:
    """Take the last rounding away: int32 sums become logits, and no two classes are told alike."""
    made = {node.output[0]: node for node in graph.node}
    back = made["logits"]
    if back.op_type != "DequantizeLinear":
        return
    there = made[back.input[0]]
    made[there.input[0]].output[0] = "logits"
    for node in (back, there):
        graph.node.remove(node)
    _drop(graph, set(back.input[1:]))


_INDICES = {1: np.uint8, 2: np.uint16, 4: np.int32}
"""Of numbers of inputs, by `DenseLayer.index_bytes`."""


def _thin(graph: Any, name: str, dense: DenseLayer) -> None:
    """Keep of a sparse layer's weights those that it has, each with the number of its input.

    A runtime puts them into zeros once, as it loads.
    """
    from onnx import TensorProto, helper, numpy_helper

    whole = numpy_helper.to_array(next(one for one in graph.initializer if one.name == name))
    _drop(graph, {name})
    # those that are not 0 first: what else is kept is 0, wherever it stands
    inputs_of = np.sort(np.argsort(whole == 0, axis=1, kind="stable")[:, : dense.in_degree], axis=1)
    for part, values in (
        ("kept", np.take_along_axis(whole, inputs_of, 1)),
        ("connections", inputs_of.astype(_INDICES[dense.index_bytes])),
        ("shape", np.array([dense.outputs, dense.inputs])),
    ):
        graph.initializer.append(numpy_helper.from_array(values, f"{name}.{part}"))
    zero = helper.make_tensor("zero", TensorProto.INT8, [1], [0])
    before = [
        helper.make_node("Cast", [f"{name}.connections"], [f"{name}.inputs"], to=TensorProto.INT32),
        helper.make_node("ConstantOfShape", [f"{name}.shape"], [f"{name}.zeros"], value=zero),
        helper.make_node(
            "ScatterElements",
            [f"{name}.zeros", f"{name}.inputs", f"{name}.kept"],
            [name],
            axis=1,
        ),
    ]
    after = list(graph.node)
    del graph.node[:]
    graph.node.extend([*before, *after])


def _drop(graph: Any, names: set[str]) -> None:
    """Take constants away."""
    left = [one for one in graph.initializer if one.name not in names]
    del graph.initializer[:]
    graph.initializer.extend(left)


def _size(value: Any) -> int:
    """Numbers of it for one image; 0 where that is not known."""
    dims = value.type.tensor_type.shape.dim
    return math.prod(1 if one.dim_param == "images" else one.dim_value for one in dims)


def constant_bytes(model: Any) -> int:
    """Bytes of all numbers that a model holds: weights, biases, numbers of inputs, ranges."""
    from onnx import numpy_helper

    return sum(numpy_helper.to_array(one).nbytes for one in model.graph.initializer)


def batches(pool: Images, numbers: Numbers) -> Iterator[Images]:
    """These images of a pool, some at a time."""
    for start in range(0, len(numbers), BATCH):
        yield pool[numbers[start : start + BATCH]]


def confusion(model: bytes, images: Iterator[Images], labels: Labels, classes: int) -> Confusion:
    """What a model takes images for.  labels: of all of them, shape (n,)."""
    run = session(model)
    told = [run.run(None, {"images": of.astype(np.float32)})[0].argmax(1) for of in images]
    return Confusion.of(labels, np.concatenate(told).astype(np.int64), classes)


ALLOWED = {
    *QUANTISED, "QuantizeLinear", "DequantizeLinear", "Sub", "Div", "MatMul", "Cast",
    "ConstantOfShape", "ScatterElements",
}  # fmt: skip
"""Operators that a file of ours may hold."""


NUMBER_BYTES = 8
"""Of a number in a file, at most: a kept weight with its input, a bias, a scale."""
REST_BYTES = 1 << 20
"""Of all else in a file: names, operators, ranges."""


def _weights(network: Network) -> Iterator[int]:
    """Of each convolution and classifier layer how many weights it would have, zeros included."""
    for layer in network.convolutions:
        yield from (math.prod(conv.shape) for conv in layer.convolutions)
    yield from (dense.inputs * dense.outputs for dense in network.dense)


def most_bytes(network: Network) -> int:
    """What a file of this network has at most."""
    return NUMBER_BYTES * (sum(_weights(network)) + network.params) + REST_BYTES


def _largest(network: Network) -> int:
    """Numbers of the largest thing that a network of ours computes of one image."""
    maps = [math.prod(layer.shape_in) for layer in network.convolutions]
    for layer in network.convolutions:
        height, width = layer.map_inside
        maps.append(max(layer.channels_in, layer.channels_out) * height * width)
    return max(*maps, *_weights(network), *(dense.inputs for dense in network.dense))


def check(content: bytes, network: Network) -> None:
    """Raises ValueError where a file is no form of this network: it takes other images, has an
    operator that none has, something larger than any of its layers, or numbers in other files;
    what onnx raises.
    """
    import onnx

    model = onnx.load_model_from_string(content)
    graph = model.graph
    for node in graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in ALLOWED:
            raise ValueError(f"it has an operator that none of ours has, {node.op_type}")
    others = any(one.external_data for one in graph.initializer)
    if model.functions or others or graph.sparse_initializer:
        raise ValueError("it speaks of functions, or of other files")
    most = _largest(network)
    known = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    sizes = {one.name: _size(one) for one in (*known.value_info, *known.input, *known.output)}
    for name in (name for node in graph.node for name in node.output if name):
        if not 0 < sizes.get(name, 0) <= most:
            raise ValueError(f"{name} is larger than anything in this network, or of no known size")
    ends = [
        tuple(size.dim_value for size in one.type.tensor_type.shape.dim[1:])
        for one in (*graph.input, *graph.output)
    ]
    if ends != [network.shape, (network.dense[-1].outputs,)]:
        raise ValueError("it is for other images or classes")
