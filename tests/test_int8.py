"""A network in eight bits tells what its float32 form tells, is small, and says what it loses."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime.quantization
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, load_model, numpy_helper
from PIL import Image
from torch import nn

from lcsearch.engine.client.session import SessionClient
from lcsearch.engine.executors import final
from lcsearch.engine.executors.final import Finisher, TooLossy, wanted
from lcsearch.engine.protocol import FinalOrder, FinalResult, eight_bits_lose
from lcsearch.engine.tasks import cnn
from lcsearch.engine.training import card, eight_bits, loop, portable, stored
from lcsearch.engine.training.build import build
from lcsearch.engine.training.data import read_final
from lcsearch.engine.training.data.face import Split
from lcsearch.engine.training.eight_bits import CALIBRATION, INT8
from lcsearch.engine.training.final import FinalError, InEightBits, train_final, write
from lcsearch.engine.training.images import place
from lcsearch.engine.training.preparing import Preparing
from lcsearch.engine.training.run import Training, begin, full_precision
from lcsearch.engine.training.runtime import session
from lcsearch.engine.training.trainer import machine
from lcsearch.sessions.choices import LOSS_REFUSED, LOSS_WARNED
from lcsearch.sessions.errors import Misuse
from lcsearch.sessions.records import DataSource, Delivery, EightBits
from lcsearch.tui import deliveries

from .conftest import benchmark, lcsearch, wait_for
from .fakes import delivery, make_snapshot
from .sessions_for_tests import final_order, make_store
from .test_final import RICH

DIGITS = DataSource(spec="digits")
CONFIG = {
    "conv_layers": 2, "channels": [32, 64], "downsample": ["none", "pool"], "kernel": [3, 3],
    "batch_norm": [True, True], "groups": [1, 4], "classifier_layers": 2, "hidden_units": [256],
    "density": [0.1, 1.0],
}  # fmt: skip
MADE = EightBits(
    loss=0.0012, images=600, judged_on="validation", calibration=512, test_accuracy=0.9,
    test_metric=0.8, weight_bits=8, bytes=300, weight_bytes=250, float_bytes=1000,
    float_weight_bytes=900, latency=0.5, float_latency=0.25, sha256="0",
)  # fmt: skip


class Trained:
    """A network of digits that has learnt them, and what it is written from."""

    def __init__(self) -> None:
        space = cnn.space((1, 8, 8), 10)
        assert space.reference is not None
        self.config = space.resized({**space.reference, **CONFIG})
        self.data, self.test = read_final(DIGITS)
        self.laid = cnn.network(self.config, (1, 8, 8), 10)
        placed = place(self.data, torch.device("cpu"))
        task = Training(self.laid, self.config, 0, 6, "none", "accuracy", "none")
        run = begin(task, placed, torch.float32)
        bounds = loop.batch_bounds(len(placed.train_labels), self.config["batch_size"])
        for number in range(1, 7):
            drawn = loop.begin_epoch(run, number)
            for start, end in bounds:
                loop.step(run, drawn, start, end)
        self.model = full_precision(run).eval()

    def result(self, **more: Any) -> FinalResult:
        summary = self.data.summary
        fields: dict[str, Any] = {
            "session": "digits", "trial": 0, "config": self.config, "features": 4, "seed": 0,
            "epochs": 6, "augment": "none", "data": DIGITS, "data_fingerprint": summary.fingerprint,
            "train_images": len(self.data.train_numbers), "test_images": len(self.test),
            "test_accuracy": self.accuracy(self.test), "metric": "accuracy", "test_metric": 0.9,
            "class_weights": "none", "classes": summary.class_names, "recalls": (0.9,) * 10,
            "confusion": [], "train_loss": 1.0, "params": self.laid.params,
            "macs": self.laid.macs, "seconds": 1.0, "lcsearch": "0", "files": (),
            "machine": machine(torch.device("cpu"), torch.float32),
        }  # fmt: skip
        return FinalResult(**{**fields, **more})

    def accuracy(self, split: Split) -> float:
        """By torch, of whatever the model now is."""
        mean, std = (torch.from_numpy(of).view(-1, 1, 1) for of in (self.data.mean, self.data.std))
        with torch.inference_mode():
            given = (torch.from_numpy(split.images.astype(np.float32)) - mean) / std
            told = self.model(given.to(memory_format=torch.channels_last)).argmax(1).numpy()
        return float((told == split.labels).mean())

    def write(self, folder: Path, *, accept_loss: bool = False, **more: Any) -> FinalResult:
        """All files, of which the float32 ONNX is not by torch's exporter, which takes seconds."""

        def quickly(network: portable.Portable, path: Path, _: Preparing) -> None:
            weights = stored.read(path.with_name(stored.WEIGHTS), self.laid)
            path.write_bytes(eight_bits.float_graph(self.laid, weights).SerializeToString())

        with pytest.MonkeyPatch.context() as m:
            m.setattr(portable, "write_onnx", quickly)
            return self.exported(folder, accept_loss=accept_loss, **more)

    def exported(self, folder: Path, *, accept_loss: bool = False, **more: Any) -> FinalResult:
        """All files."""
        written = write(
            folder, self.model, self.data, self.result(**more), False, lambda: False,
            InEightBits(self.test, accept_loss),
        )  # fmt: skip
        assert written is not None
        return written


@pytest.fixture(scope="module")
def trained() -> Trained:
    return Trained()


@pytest.fixture(scope="module")
def model(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("int8") / "model"
    trained.exported(folder)
    return folder


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "copy"))


@pytest.fixture
def poisoned(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """The same, but for one channel that is enormous and read by nothing: float32 does not mind,
    and the range of the others is lost.
    """
    state = {name: value.clone() for name, value in trained.model.state_dict().items()}
    norm = next(layer for layer in trained.model if isinstance(layer, nn.BatchNorm2d))
    following = [layer for layer in trained.model if isinstance(layer, nn.Conv2d)][1]
    other = Trained.__new__(Trained)
    other.__dict__.update(trained.__dict__)
    other.model = build(trained.laid, 0).eval()
    other.model.load_state_dict(state)
    at = {id(layer): number for number, layer in enumerate(trained.model)}
    with torch.no_grad():
        found = other.model[at[id(norm)]], other.model[at[id(following)]]
        assert isinstance(found[0], nn.BatchNorm2d)
        assert isinstance(found[1], nn.Conv2d)
        found[0].bias[0] = 1e5
        found[1].weight[: len(found[1].weight) // found[1].groups, 0] = 0
    return other


def logits(path: Path, images: NDArray[Any]) -> NDArray[np.float32]:
    run = session(path.read_bytes())
    (told,) = run.run(["logits"], {"images": images.astype(np.float32)})
    return np.asarray(told, np.float32)


def made(folder: Path) -> tuple[FinalResult, EightBits]:
    result = FinalResult.model_validate_json((folder / "result.json").read_bytes())
    assert result.int8 is not None
    return result, result.int8


# -- what is written ----------------------------------------------------------------------------


def test_it_tells_what_float32_tells_and_is_a_quarter_of_it(model: Path, trained: Trained) -> None:
    result, int8 = made(model)
    assert sorted(path.name for path in model.iterdir()) == sorted(result.files)
    whole, own = (logits(model / name, trained.test.images) for name in (portable.ONNX, INT8))
    right = trained.test.labels
    assert int8.test_accuracy == float((own.argmax(1) == right).mean()) == int8.test_metric
    assert result.test_accuracy == pytest.approx(float((whole.argmax(1) == right).mean()))
    assert result.test_accuracy > 0.9
    assert abs(result.test_accuracy - int8.test_accuracy) <= 0.01
    assert abs(int8.loss) <= 0.01
    # eight bits are not float32 by another name
    assert 0 < np.abs(own - whole).max() < 0.3 * whole.std()
    assert int8.weight_bytes < 0.3 * int8.float_weight_bytes
    assert int8.bytes < 0.5 * int8.float_bytes
    assert (int8.bytes, int8.float_bytes) == tuple(
        (model / name).stat().st_size for name in (INT8, portable.ONNX)
    )
    # its sparse layer by what it keeps, with 8 or 16 bits for the number of an input
    assert int8.weight_bytes < 1.3 * cnn.network(
        trained.config, (1, 8, 8), 10, deployed="int8"
    ).size  # fmt: skip
    kinds = {one.name: one.data_type for one in load_model(model / INT8).graph.initializer}
    assert kinds["dense0.weight_quantized.connections"] == TensorProto.UINT16
    assert "dense0.weight_quantized" not in kinds


def test_the_same_training_writes_the_same_file(
    model: Path, trained: Trained, tmp_path: Path
) -> None:
    trained.write(tmp_path / "again")
    assert (tmp_path / "again" / INT8).read_bytes() == (model / INT8).read_bytes()
    assert hashlib.sha256((model / INT8).read_bytes()).hexdigest() == made(model)[1].sha256


def test_it_says_of_itself_what_the_float_file_says(model: Path) -> None:
    kept = [
        session((model / name).read_bytes()).get_modelmeta().custom_metadata_map
        for name in (portable.ONNX, INT8)
    ]
    for key in ("classes", "prepared", "levels"):
        assert kept[0][key] == kept[1][key]
    assert set(kept[1]) == {"classes", "prepared", "levels"}


def test_every_kind_of_layer_sparse_uneven_and_grouped() -> None:
    laid = cnn.network(RICH, (3, 21, 27), 5, features=3)
    model = build(laid, seed=4)
    torch.manual_seed(0)
    for _ in range(3):
        model(torch.randn(16, 3, 21, 27))
    mean, std = np.array([100, 120, 90], np.float32), np.array([50, 60, 70], np.float32)
    whole = portable.Portable(model, mean, std).eval()
    weights = {name: value.numpy() for name, value in whole.state_dict().items()}
    images = np.random.default_rng(0).uniform(0, 255, (64, 3, 21, 27)).astype(np.float32)
    graph = eight_bits.float_graph(laid, weights)
    small = eight_bits.quantised(laid, graph, [images], 8, {"key": "value"})
    eight_bits.check(small.SerializeToString(), laid)
    given = {"images": images}
    expected, told = (
        session(one.SerializeToString()).run(["logits"], given)[0] for one in (graph, small)
    )
    with torch.inference_mode():
        np.testing.assert_allclose(whole(torch.from_numpy(images)).numpy(), expected, atol=2e-5)
    assert np.abs(told - expected).max() < 0.25 * expected.std()
    kept = {one.name: numpy_helper.to_array(one) for one in small.graph.initializer}
    for index, kind in ((0, np.uint16), (1, np.uint16)):
        inputs = kept[f"dense{index}.weight_quantized.connections"]
        assert inputs.dtype == kind
        assert inputs.shape == (laid.dense[index].outputs, laid.dense[index].in_degree)
        # each number once in its row
        assert (np.diff(inputs.astype(int), axis=1) > 0).all()


def test_operators_that_no_network_has_yet_work_in_eight_bits() -> None:
    """Shortcuts padded with zeros, depthwise convolutions, SiLU and hard swish."""
    rng = np.random.default_rng(0)

    def array(name: str, *shape: int) -> Any:
        fan = max(1, int(np.prod(shape[1:])))
        return numpy_helper.from_array(rng.normal(0, fan**-0.5, shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["images", "w0", "b0"], ["c0"], pads=[1] * 4),
        helper.make_node("Sigmoid", ["c0"], ["s0"]),
        helper.make_node("Mul", ["c0", "s0"], ["a0"]),
        helper.make_node("Conv", ["a0", "w1", "b1"], ["c1"], pads=[1] * 4, group=8, strides=[2, 2]),
        helper.make_node("HardSwish", ["c1"], ["a1"]),
        helper.make_node("Conv", ["a1", "w2", "b2"], ["c2"]),
        helper.make_node("AveragePool", ["a0"], ["p0"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Pad", ["p0", "pads"], ["p1"]),
        helper.make_node("Add", ["c2", "p1"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["r"]),
        helper.make_node("Concat", ["r", "p1"], ["both"], axis=1),
        helper.make_node("MaxPool", ["both"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["m"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["logits"], transB=1),
    ]
    constants = [
        array("w0", 8, 3, 3, 3), array("b0", 8), array("w1", 8, 1, 3, 3), array("b1", 8),
        array("w2", 16, 8, 1, 1), array("b2", 16), array("w3", 5, 32 * 4), array("b3", 5),
        numpy_helper.from_array(np.array([0, 0, 0, 0, 0, 8, 0, 0]), "pads"),
    ]  # fmt: skip
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["images", *shape])
        for name, shape in (("images", (3, 8, 8)), ("logits", (5,)))
    ]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    images = rng.normal(size=(64, 3, 8, 8)).astype(np.float32)
    laid = cnn.network({**RICH, "density": [1.0] * 3}, (3, 21, 27), 5)
    small = eight_bits.quantised(laid, model, [images], 8, {})
    expected, told = (
        session(one.SerializeToString()).run(None, {"images": images})[0] for one in (model, small)
    )
    assert 0 < np.abs(told - expected).max() < 0.25 * expected.std()
    rounded = sum(node.op_type == "QuantizeLinear" for node in small.graph.node)
    assert rounded >= 10
    assert {node.op_type for node in small.graph.node} <= eight_bits.ALLOWED


@pytest.mark.parametrize(
    ("processor", "words", "bits"),
    [
        ("x86_64", "flags : fpu avx2 avx512_vnni", 8),
        ("x86_64", "flags : fpu avx2 avx_vnni sse", 8),
        ("x86_64", "flags : fpu avx2 avx512f", 7),
        ("AMD64", None, 7),
        ("arm64", None, 8),
        ("aarch64", "Features : fp asimd", 8),
    ],
)
def test_seven_bits_where_a_processor_could_overflow(
    processor: str, words: str | None, bits: int, tmp_path: Path
) -> None:
    cpu = tmp_path / "cpuinfo"
    if words is not None:
        cpu.write_text(words)
    assert eight_bits.weight_bits(processor, cpu) == bits


def test_seven_bits_are_seven(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eight_bits, "weight_bits", lambda: 7)
    int8 = trained.write(tmp_path / "out").int8
    assert int8 is not None
    assert int8.weight_bits == 7
    assert abs(int8.loss) <= 0.01
    for one in load_model(tmp_path / "out" / INT8).graph.initializer:
        if one.data_type == TensorProto.INT8:
            assert np.abs(numpy_helper.to_array(one).astype(int)).max() <= 64


# -- on which images it is decided --------------------------------------------------------------


def test_the_loss_is_decided_on_images_that_no_range_is_of(trained: Trained) -> None:
    train, validated = trained.data.train_numbers, trained.data.validated
    assert 0 < len(validated) < len(train)
    ranged, judged = eight_bits.divided(train, validated, 3)
    assert np.array_equal(judged, validated)
    assert len(ranged) == CALIBRATION
    assert not np.isin(ranged, validated).any()
    assert np.isin(ranged, train).all()
    ranged, judged = eight_bits.divided(train, validated[:0], 3)
    assert len(ranged) == CALIBRATION
    assert np.array_equal(np.union1d(ranged, judged), train)
    assert not np.isin(ranged, judged).any()
    again = eight_bits.divided(train, validated[:0], 3)
    assert all(np.array_equal(*pair) for pair in zip((ranged, judged), again, strict=True))
    assert not np.array_equal(eight_bits.divided(train, validated[:0], 4)[0], ranged)


@pytest.mark.parametrize("count", [2, 3, 100])
def test_few_images_are_enough(count: int) -> None:
    ranged, judged = eight_bits.divided(np.arange(count), np.empty(0, np.int64), 0)
    assert 1 <= len(ranged) <= len(judged)
    assert len(ranged) + len(judged) == count


def test_all_images_are_judged_on_training_images(trained: Trained, tmp_path: Path) -> None:
    _, by_session = made_of(trained, tmp_path / "session")
    assert (by_session.judged_on, by_session.images) == ("validation", len(trained.data.validated))
    _, by_all = made_of(trained, tmp_path / "all", images="all")
    assert by_all.judged_on == "training"
    assert by_all.images == len(trained.data.train_numbers) - CALIBRATION


def made_of(trained: Trained, folder: Path, **more: Any) -> tuple[FinalResult, EightBits]:
    trained.write(folder, **more)
    return made(folder)


def test_the_loss_is_of_what_was_searched_for(poisoned: Trained, tmp_path: Path) -> None:
    result, int8 = made_of(poisoned, tmp_path / "out", metric="balanced", accept_loss=True)
    judged = poisoned.data.pool.take(poisoned.data.validated)
    scores = []
    for name in (portable.ONNX, INT8):
        told = logits(tmp_path / "out" / name, judged.images).argmax(1)
        scores.append(np.mean([(told == c)[judged.labels == c].mean() for c in range(10)]))
    assert int8.loss == pytest.approx(scores[0] - scores[1], abs=1e-6)
    assert "of balanced" in eight_bits_lose(int8, result.metric)


# -- what it loses is said ----------------------------------------------------------------------


def test_what_is_lost_beyond_ten_points_is_not_written(poisoned: Trained, tmp_path: Path) -> None:
    assert poisoned.accuracy(poisoned.test) > 0.85
    with pytest.raises(FinalError, match=r"int8 loses \d\d\.\d\d points .*--accept-loss") as caught:
        poisoned.write(tmp_path / "out")
    assert caught.value.lossy
    assert list(tmp_path.iterdir()) == []
    result, int8 = made_of(poisoned, tmp_path / "out", accept_loss=True)
    assert int8.loss > LOSS_REFUSED
    assert result.test_accuracy - int8.test_accuracy > LOSS_REFUSED
    assert "WARNING: int8 loses" in (tmp_path / "out" / card.CARD).read_text()


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (0.0, "int8 loses 0.00 points (600 validation images)"),
        (-0.0025, "int8 gains 0.25 points (600 validation images)"),
        (LOSS_WARNED, "int8 loses 1.00 points (600 validation images)"),
        (0.0101, "WARNING: int8 loses 1.01 points (600 validation images)"),
    ],
)
def test_the_words_of_a_loss(loss: float, said: str) -> None:
    lost = MADE.model_copy(update={"loss": loss})
    assert eight_bits_lose(lost, "accuracy") == said
    one = delivery(state="done", scores=(0.9,), eight_bits=lost)
    line = deliveries.line(one, make_snapshot().session)
    assert f"90.00 % on the test set, {said}  /nowhere/out" in line


@pytest.mark.parametrize("slower", [True, False])
def test_the_card_has_both_forms_and_says_which_is_slower(trained: Trained, slower: bool) -> None:
    change: dict[str, Any] = {} if slower else {"latency": 0.125}
    int8 = MADE.model_copy(update=change)
    files = (portable.ONNX, INT8)
    text = card.card(trained.result(int8=int8, files=files), "on digits", cnn.TASK.measures)
    assert "int8 loses 0.12 points (600 validation images)." in text
    assert "| bytes of the file | 1,000 | 300 |" in text
    assert "| bytes of the weights | 900 | 250 |" in text
    assert f"| 0.25 | {int8.latency:.3g} |" in text
    assert ("int8 is the slower one" in text) == slower
    assert "90.00% |" in text
    assert "--int8" in text
    assert "int8" not in card.card(trained.result(), "on digits", cnn.TASK.measures)


def test_older_records_are_without() -> None:
    told = json.loads(delivery().model_dump_json())
    for name in ("int8", "accept_loss", "eight_bits"):
        told.pop(name)
    one = Delivery.model_validate(told)
    assert (one.int8, one.accept_loss, one.eight_bits) == (False, False, None)


# -- what cannot be done ------------------------------------------------------------------------


def test_without_onnxruntime_it_is_told_before_anything_is_trained(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(home, data=DIGITS, summary=read_final(DIGITS)[0].summary)
    what = final_order(store.refresh(), 0, 2, tmp_path / "out", int8=True)
    assert (what.int8, what.onnx, what.accept_loss) == (True, True, False)
    found = importlib.util.find_spec

    def spec(name: str) -> ModuleSpec | None:
        return None if name == "onnxruntime" else found(name)

    monkeypatch.setattr(importlib.util, "find_spec", spec)
    with pytest.raises(FinalError, match=r"int8 needs onnxruntime, .*lcsearch\[onnx\].*--int8"):
        train_final(what, lambda reply: None, lambda: None)
    store.close()


def test_one_that_lost_too_much_keeps_what_it_was_trained(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is paused; resumed with --accept-loss, the order says so."""
    store = make_store(home)
    store.add_delivery(wanted(store.refresh(), 0, tmp_path / "a", int8=True))
    store.add_delivery(wanted(store.refresh(), 0, tmp_path / "b"))
    said = TooLossy("int8 loses 12.00 points.")
    orders: list[FinalOrder] = []

    class Scripted:
        def __init__(self, what: FinalOrder, log: object = None) -> None:
            orders.append(what)

        def __iter__(self) -> Iterator[object]:
            raise said
            yield

        def close(self) -> None: ...

    monkeypatch.setattr(final, "FinalTraining", Scripted)
    with (store.folder / "engine.log").open("ab") as log:
        finisher = Finisher(store, log)

        def paused() -> bool:
            finisher.turn(store.refresh(), free=not orders)
            return store.refresh().deliveries[0].state == "paused"

        wait_for(paused)
        one = store.refresh().deliveries[0]
        assert deliveries.state(one, store.refresh().session).endswith(f": {said}")
        assert not orders[0].accept_loss
        monkeypatch.setattr(SessionClient, "start_engine", lambda self: None)
        client = SessionClient(store.folder)
        with pytest.raises(Misuse, match="final training 2: is not written in eight bits"):
            client.resume_delivery(2, accept_loss=True)
        client.resume_delivery(1, accept_loss=True)
        client.close()
        orders.clear()
        wait_for(paused)
        assert orders[0].accept_loss
        finisher.close()
    store.close()


@pytest.mark.parametrize(
    ("error", "said", "curable"),
    [
        (
            ValueError("no such range"),
            "cannot be written in eight bits .*no such range.*--no-int8",
            True,
        ),
        (OSError(errno.ENOSPC, "No space left on device"), "cannot be written", True),
    ],
)
def test_what_fails_is_told_in_words_and_nothing_is_left(
    trained: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    said: str,
    curable: bool,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(onnxruntime.quantization, "quantize_static", fail)
    with pytest.raises(FinalError, match=said) as caught:
        trained.write(tmp_path / "out")
    assert caught.value.curable == curable
    assert list(tmp_path.iterdir()) == []


# -- the commands -------------------------------------------------------------------------------


def test_predict_says_what_the_file_says(model: Path, tmp_path: Path, trained: Trained) -> None:
    ramp = np.arange(0, 256, 4, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    prepare: dict[str, Any] = {}
    exec(compile((model / "prepare.py").read_text(), "prepare.py", "exec"), prepare)
    (own,) = logits(model / INT8, prepare["prepare"](tmp_path / "ramp.png")[None])
    powers = np.exp(own - own.max())
    expected = dict(zip(prepare["CLASSES"], powers / powers.sum(), strict=True))
    asked = ["predict", str(model), str(tmp_path / "ramp.png"), "--top", "10", "--json"]
    told = [json.loads(lcsearch(*asked, *more)[0]) for more in ([], ["--int8"])]
    whole, small = (
        {entry["name"]: entry["probability"] for entry in one[0]["predictions"]} for one in told
    )
    assert small == pytest.approx(expected, abs=1e-5)
    assert small != whole


def cut(folder: Path) -> None:
    (folder / INT8).write_bytes((folder / INT8).read_bytes()[:-100])


def another_shape(folder: Path) -> None:
    (folder / INT8).write_bytes((folder / portable.ONNX).read_bytes())


def renamed(folder: Path, content: bytes) -> None:
    """As somebody would who also changes what result.json says of the file."""
    (folder / INT8).write_bytes(content)
    told = json.loads((folder / "result.json").read_text())
    told["int8"].update(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
    (folder / "result.json").write_text(json.dumps(told))


def another_operator(folder: Path) -> None:
    changed = load_model(folder / INT8)
    changed.graph.node.append(helper.make_node("Loop", ["logits"], ["more"]))
    renamed(folder, changed.SerializeToString())


def another_file(folder: Path) -> None:
    changed = load_model(folder / INT8)
    changed.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")
    renamed(folder, changed.SerializeToString())


def enormous(folder: Path) -> None:
    changed = load_model(folder / INT8)
    for one in changed.graph.initializer:
        if one.name.endswith(".shape"):
            one.CopyFrom(numpy_helper.from_array(np.array([1 << 20, 1 << 20]), one.name))
    renamed(folder, changed.SerializeToString())


def enormous_elsewhere(folder: Path) -> None:
    """Small in the file, and gigabytes at the first image."""
    changed = load_model(folder / INT8)
    size = numpy_helper.from_array(np.array([1 << 15, 1 << 15]), "s")
    changed.graph.initializer.append(size)
    changed.graph.node.append(helper.make_node("ConstantOfShape", ["s"], ["z"]))
    renamed(folder, changed.SerializeToString())


def growing(folder: Path) -> None:
    """Ten times as many channels with every step."""
    changed = load_model(folder / INT8)
    last = "images"
    for step in range(12):
        node = helper.make_node("Concat", [last] * 10, [f"grown{step}"], axis=1)
        changed.graph.node.append(node)
        last = f"grown{step}"
    renamed(folder, changed.SerializeToString())


def pipe(folder: Path) -> None:
    (folder / INT8).unlink()
    os.mkfifo(folder / INT8)


def no_file_of_onnx(folder: Path) -> None:
    renamed(folder, b"not a model")


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (cut, "not the file that result.json speaks of"),
        (another_shape, "not the file that result.json speaks of"),
        (another_operator, "an operator that none of ours has, Loop"),
        (another_file, "other files"),
        (enormous, "no network of ours"),
        (enormous_elsewhere, "larger than anything in this network"),
        (growing, "larger than anything in this network"),
        (pipe, "is no file"),
        (no_file_of_onnx, "no network of ours"),
        (lambda folder: (folder / INT8).unlink(), "No such file"),
    ],
)
def test_a_file_that_was_tampered_with_is_refused(
    copy: Path, tmp_path: Path, tamper: Callable[[Path], None], said: str
) -> None:
    tamper(copy)
    error = lcsearch("predict", str(copy), str(tmp_path), "--int8", code=1)[1]
    assert error.startswith(f"lcsearch: {copy / INT8}: ")
    assert said in error
    assert error.count("\n") == 1


def test_what_cannot_be_asked_of_int8(copy: Path, tmp_path: Path) -> None:
    words = lcsearch("predict", str(copy), str(tmp_path), "--int8", "--runtime", "torch", code=2)
    assert "--int8: runs by onnxruntime alone" in words[1]
    told = json.loads((copy / "result.json").read_text())
    told.pop("int8")
    (copy / "result.json").write_text(json.dumps(told))
    words = lcsearch("predict", str(copy), str(tmp_path), "--int8", code=2)
    assert "was trained without --int8" in words[1]


def test_train_says_it_in_the_first_line_and_the_session_keeps_it(
    home: Path, tmp_path: Path
) -> None:
    data = DataSource(spec="digits", train_size=300)
    store = make_store(home, data=data, summary=read_final(data)[0].summary)
    folder = tmp_path / "out"
    alone = lcsearch("train", "demo", "-t", "0", "--accept-loss", "-o", str(folder), code=2)
    assert "--accept-loss: is of --int8" in alone[1]
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "lcsearch.tui.cli", "train", "demo", "-t", "0", "--epochs",
         "3", "--int8", "--json", "-o", folder],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    result, int8 = made(folder)
    assert json.loads(ran.stdout)["int8"] == int8.model_dump(mode="json")
    said = eight_bits_lose(int8, "accuracy")
    assert said.endswith(f"({1438 - CALIBRATION:,} training images)")
    (line,) = [line for line in ran.stderr.splitlines() if line.startswith("final 1  trial 0  ")]
    assert said in line
    assert said in (folder / card.CARD).read_text()
    one = store.refresh().deliveries[0]
    assert (one.int8, one.onnx, one.eight_bits) == (True, True, int8)
    assert said in lcsearch("show", "demo")[0]
    assert result.latencies["onnx"] == int8.float_latency
    lcsearch("engine", "stop", "demo")
    store.close()


def test_the_benchmark_says_what_was_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = benchmark("int8")
    space = cnn.space((1, 28, 28), 10)
    for name, given in made.NETWORKS.items():  # they can be built for what they are trained on
        config = made.config_of(name, space)
        assert not space.problems(config)
        assert {key: config[key] for key in given} == given
    monkeypatch.setattr(made, "QUICK", ("sparse",))
    assert made.main(["--quick", "--epochs", "1", "--rounds", "1", "--json"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["network"] == "sparse"
    assert line["file_ratio"] < 0.5
    assert line["weight_ratio"] < 0.3
    assert line["judged_on"] == "validation"
