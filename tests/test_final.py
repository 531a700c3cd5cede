"""The end of a search: what is written works without lcsearch, and nothing is written by halves."""

import importlib.util
import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lcsearch.engine.executors.final import (
    Died,
    FinalError,
    FinalTraining,
    WrongOrder,
    order,
    usable,
    wanted,
)
from lcsearch.engine.protocol import (
    FinalDone,
    FinalEnded,
    FinalFailed,
    FinalOrder,
    FinalProgress,
    FinalResult,
    trained_on,
)
from lcsearch.engine.tasks import cnn
from lcsearch.engine.tasks.task import open_store
from lcsearch.engine.training import loop, portable, threads
from lcsearch.engine.training.build import build
from lcsearch.engine.training.data import read_final
from lcsearch.engine.training.final import ONNX_PACKAGES, Asked, train_final, write
from lcsearch.engine.training.final import FinalError as CannotFinish
from lcsearch.engine.training.images import Draw
from lcsearch.engine.training.preparing import Preparing
from lcsearch.engine.training.run import Run
from lcsearch.engine.training.stored import WEIGHTS
from lcsearch.engine.training.threads import Threads
from lcsearch.engine.training.trainer import machine
from lcsearch.sessions.records import DataSource, Preparation, StopMode
from lcsearch.sessions.snapshot import Snapshot
from lcsearch.tui.commands import follow as progress

from .conftest import PATIENCE, lcsearch, wait_for
from .fakes import FakeClient, delivery, make_snapshot
from .sessions_for_tests import filled_store, final_order, make_store

Images = NDArray[np.float32]
Rich = tuple[portable.Portable, Images, Images]
"""A network, images, and what it makes of them."""
Reply = FinalProgress | FinalDone | FinalEnded | FinalFailed
Steps = list[tuple[int, float, int]]
"""Of each step: with how many threads it was done, its loss, and of how many images."""
RICH = {
    "conv_layers": 3,
    "channels": [8, 16, 64],
    "downsample": ["stride", "pool", "none"],
    "kernel": [3, 5, 1],
    "batch_norm": [True, False, True],
    "groups": [1, 2, 4],
    "classifier_layers": 3,
    "hidden_units": [1024, 24],
    "density": [0.05, 0.3, 1.0],
}
"""Every kind of layer: pooled from an odd map to 3 x 3; sparse in blocks, and small."""
ADDED = RICH | {
    "conv_layers": 4,
    "channels": [8, 16, 16, 64],
    "downsample": ["none", "pool", "stride", "pool"],
    "kernel": [3, 5, 3, 3],
    "batch_norm": [True, True, False, True],
    "groups": [1, 2, 5, 4],
    "conv": ["plain", "plain", "separable", "plain"],
    "shortcut": [False, False, True, True],
    "activation": "hardswish",
}
"""Two shortcuts that overlap, either of maps that are larger and have fewer channels; a separable
layer, whose groups count nothing."""
ALONE = """
import importlib.abc, sys, numpy, torch
class Wall(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("lcsearch", "safetensors", "onnx", "sklearn", "pydantic"):
            raise ImportError(f"{name}: behind the wall")
sys.meta_path.insert(0, Wall())
sys.path.insert(0, sys.argv[1])
from network import load
network = load()
assert not network.training
images = torch.from_numpy(numpy.load(sys.argv[2]))
with torch.inference_mode():
    numpy.save(sys.argv[3], network(images).numpy())
assert not any(name.startswith("lcsearch") for name in sys.modules)
"""


def alone(folder: Path, images: Images, tmp_path: Path) -> Images:
    """What network.py says of these images in a process that has torch and no lcsearch."""
    np.save(tmp_path / "images.npy", images)
    subprocess.run(
        [sys.executable, "-P", "-c", ALONE, folder, tmp_path / "images.npy", tmp_path / "out.npy"],
        check=True,
        cwd=tmp_path,
    )
    outputs: Images = np.load(tmp_path / "out.npy")
    return outputs


@pytest.fixture(scope="module", params=[RICH, ADDED], ids=["plain", "shortcuts"])
def rich(request: pytest.FixtureRequest) -> Rich:
    """The network of every kind of layer, its batch norm trained a little, and images for it."""
    torch.manual_seed(0)
    laid = cnn.network(request.param, (3, 21, 27), 5, features=3)
    assert laid.convolutions[-1].width_out % 3
    model = build(laid, seed=4)
    assert model[-5].blocks is not None
    assert model[-3].blocks is None
    for _ in range(3):
        model(torch.randn(16, 3, 21, 27))
    mean, std = np.array([100, 120, 90], np.float32), np.array([50, 60, 70], np.float32)
    images = np.random.default_rng(0).uniform(0, 255, (7, 3, 21, 27)).astype(np.float32)
    network = portable.Portable(model, mean, std).eval()
    with torch.inference_mode():
        given = (torch.from_numpy(images) - network.mean) / network.std
        expected = model.eval()(given.to(memory_format=torch.channels_last)).numpy()
    return network, images, expected


def test_the_source_and_the_weights_need_torch_alone(rich: Rich, tmp_path: Path) -> None:
    network, images, expected = rich
    portable.write_weights(network, tmp_path / WEIGHTS)
    text = portable.source(network, "a title", Preparing(tuple("abcde"), (3, 21, 27), None))
    (tmp_path / portable.SOURCE).write_text(text)
    np.testing.assert_allclose(alone(tmp_path, images, tmp_path), expected, atol=2e-5)
    assert text.count("SparseLinear(") == 3  # its class, and two layers
    assert "groups=4" in text
    # the numbers that exist, and no dense matrix of zeros
    place = len(network.layers) - 5
    weight = network.layers[place].weight
    assert isinstance(weight, torch.Tensor)
    state = network.state_dict().items()
    others = sum(v.nbytes for name, v in state if not name.startswith(f"layers.{place}."))
    assert (tmp_path / WEIGHTS).stat().st_size < others + 4 * weight.numel() * 4


def test_onnx_gives_the_same_outputs_for_any_number_of_images(rich: Rich, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    network, images, expected = rich
    names = ('a "quoted"\n[b]name[/b]', *"bcde")
    how = Preparation(height=21, width=27, channels=3, fit="pad", background="#102030")
    portable.write_onnx(network, tmp_path / portable.ONNX, Preparing(names, (3, 21, 27), how))
    session = onnxruntime.InferenceSession(
        tmp_path / portable.ONNX, providers=["CPUExecutionProvider"]
    )
    kept = session.get_modelmeta().custom_metadata_map
    assert json.loads(kept["classes"]) == list(names)
    assert json.loads(kept["levels"]) == [0, 255]
    assert Preparation.model_validate_json(kept["prepared"]) == how
    for count in (1, 7):
        (logits,) = session.run(["logits"], {"images": images[:count]})
        np.testing.assert_allclose(logits, expected[:count], atol=2e-5)


@pytest.fixture
def done(home: Path) -> Snapshot:
    """A session on the digits whose reference network is done."""
    data = DataSource(spec="digits", train_size=200)
    found, _ = read_final(data)
    return make_store(home, data=data, summary=found.summary).refresh()


def test_a_command_trains_tests_once_and_writes_everything(
    home: Path, done: Snapshot, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    command = [sys.executable, "-P", "-m", "lcsearch.tui.cli", "train", "demo", "--trial", "0"]
    ran = subprocess.run(
        [*command, "--epochs", "3", "--session-images", "-o", folder, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert "final 1  trial 0  " in ran.stderr
    images = "on the session's 200 images (160 to train and 40 to validate)"
    assert f"trains {images}; 3 epochs" in ran.stderr
    assert "none of this session was scored on it before" in ran.stderr
    assert "Nothing of this session had been scored" in (folder / "MODEL.md").read_text()
    assert images in (folder / "network.py").read_text()
    assert images in trained_on(done.session.summary)
    result = FinalResult.model_validate_json((folder / "result.json").read_text())
    assert said == {"folder": str(folder), **result.model_dump(mode="json")}
    assert sorted(p.name for p in folder.iterdir()) == sorted(result.files)
    assert [p for p in tmp_path.iterdir() if "part" in p.name] == []
    assert (result.trial, result.epochs, result.train_images) == (0, 3, 200)
    assert (result.seeds, len(result.scores), result.images) == ((result.seed,), 1, "session")
    assert result.data_fingerprint == done.session.summary.fingerprint
    _, test = read_final(done.session.data)
    logits = alone(folder, test.images.astype(np.float32), tmp_path)
    assert result.test_accuracy == pytest.approx((logits.argmax(1) == test.labels).mean())
    assert result.test_accuracy > 0.3  # it has learnt something
    again = subprocess.run([*command, "-o", folder], capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert again.stderr == f"lcsearch: {folder}: exists and is not empty. Name another folder.\n"


def test_a_log_of_it_is_whole_lines_and_ends_with_the_next_step(
    home: Path, done: Snapshot, tmp_path: Path
) -> None:
    folder = tmp_path / "a net"
    out, err = lcsearch("train", "demo", "-t", "0", "--epochs", "2", "-o", str(folder))
    assert out == f"{folder}\n"
    lines = err.splitlines()
    assert "" not in lines
    assert lines[-1] == f"Next: lcsearch predict '{folder}' IMAGE"
    assert lines[0].startswith("trial 0: ")
    assert lines[2].startswith("The test set is looked at once for each training")
    lcsearch("engine", "stop", "demo")


def test_an_interrupt_leaves_it_to_the_engine(home: Path, done: Snapshot, tmp_path: Path) -> None:
    folder = tmp_path / "somewhere" / "out"
    folder.parent.mkdir()
    command = [sys.executable, "-P", "-m", "lcsearch.tui.cli"]
    ran = subprocess.Popen(
        [*command, "train", "demo", "-t", "0", "--epochs", "100000", "-o", folder],
        stderr=subprocess.PIPE,
        text=True,
        # whoever runs the tests in the background may have them ignore it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert ran.stderr is not None
    assert ran.stderr.readline().startswith("trial 0: ")
    assert "on all 1,438 images outside the test set" in ran.stderr.readline()
    assert ran.stderr.readline().startswith("The test set is looked at once for each training")
    assert "final 1" in ran.stderr.readline()
    ran.send_signal(signal.SIGINT)
    assert "lcsearch stop demo --final 1" in ran.communicate(timeout=PATIENCE)[1]
    assert ran.returncode == 1
    assert "final training 1" in lcsearch("engine", "status", "demo")[0]
    store = open_store(home / "sessions" / "demo")
    lcsearch("stop", "demo", "--final", "1", "--when", "pause")
    wait_for(lambda: store.refresh().deliveries[0].state == "paused")
    lcsearch("stop", "demo", "--final", "1", "--when", "now")
    assert store.refresh().deliveries[0].state == "stopped"
    assert "stopped, nothing was written" in lcsearch("show", "demo")[0]
    assert list(folder.parent.iterdir()) == []
    wait_for(lambda: not list((store.folder / "checkpoints").glob("final-*.pt")))
    lcsearch("engine", "stop", "demo")
    store.close()


@pytest.mark.usefixtures("one_thread")
def test_what_was_interrupted_ends_as_if_it_had_not_been(done: Snapshot, tmp_path: Path) -> None:
    whole, broken = (final_order(done, 0, 4, tmp_path / n, seeds=2) for n in ("whole", "broken"))
    said: list[Reply] = []
    train_final(whole, said.append, lambda: None)
    batches = itertools.count(1)

    def asked() -> Asked:
        # whoever wanted it is gone at every seventh look: an epoch has some five
        return "gone" if next(batches) % 7 == 0 else None

    times = 0
    while not (tmp_path / "broken").exists():
        times += 1
        assert times < 30
        train_final(broken, said.append, asked)
    assert times > 2
    one, other = ((tmp_path / n / WEIGHTS).read_bytes() for n in ("whole", "broken"))
    assert one == other
    results = [
        FinalResult.model_validate_json((tmp_path / n / "result.json").read_text())
        for n in ("whole", "broken")
    ]
    assert results[0].scores == results[1].scores
    assert len(results[0].scores) == 2
    assert results[0].test_accuracy == results[0].scores[0]


@pytest.mark.parametrize("mode", ["pause", "epoch", "now"])
def test_it_ends_as_it_is_asked_to(done: Snapshot, tmp_path: Path, mode: StopMode) -> None:
    what = final_order(done, 0, 3, tmp_path / "out")
    said: list[Reply] = []
    train_final(what, said.append, lambda: mode)
    assert said[-1] == FinalEnded(paused=mode == "pause")
    assert not (tmp_path / "out").exists()
    # paused, or stopped at an epoch's end, it has its checkpoint; stopped now it has none
    epochs = [reply for reply in said if isinstance(reply, FinalProgress) and reply.ended]
    assert len(epochs) == (mode != "now")


def test_what_was_written_unheard_is_told_by_the_next_attempt(
    done: Snapshot, tmp_path: Path
) -> None:
    asked = wanted(done, 0, tmp_path / "out", epochs=1, images="session")
    what = order(done, asked, tmp_path)
    said: list[Reply] = []
    train_final(what, said.append, lambda: None)
    assert order(done, asked, tmp_path) == what
    checkpoint = Path(f"{what.checkpoint}-{what.seeds[0]}.pt")
    checkpoint.unlink()
    again: list[Reply] = []
    train_final(what, again.append, lambda: "now")
    assert again == [said[-1]]
    assert not checkpoint.exists()
    # another order's folder is not its own
    with pytest.raises(WrongOrder, match="not empty"):
        order(done, asked.model_copy(update={"number": 2}), tmp_path)
    with pytest.raises(CannotFinish, match="not empty"):
        train_final(what.model_copy(update={"id": "other"}), said.append, lambda: None)
    assert FinalResult.model_validate_json((tmp_path / "out/result.json").read_text()).order


def test_a_part_that_a_killed_attempt_left_goes_and_one_unheard_writes_nothing(
    done: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = final_order(done, 0, 1, tmp_path / ("n" * 255))
    what.part.mkdir()
    (what.part / WEIGHTS).write_bytes(b"a part")
    said: list[Reply] = []
    gone: list[Asked] = [None]
    whole = portable.write_weights

    def writes(network: portable.Portable, path: Path) -> None:
        whole(network, path)
        gone[0] = "gone"

    monkeypatch.setattr(portable, "write_weights", writes)
    train_final(what, said.append, lambda: gone[0])
    assert not isinstance(said[-1], FinalDone | FinalEnded)
    assert not what.part.exists()
    assert not Path(what.folder).exists()
    monkeypatch.undo()
    train_final(what, said.append, lambda: None)
    assert isinstance(said[-1], FinalDone)
    assert (Path(what.folder) / WEIGHTS).is_file()


@pytest.mark.usefixtures("one_thread")
def test_a_damaged_checkpoint_begins_that_training_anew(
    done: Snapshot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = (final_order(done, 0, 2, tmp_path / name) for name in ("one", "other"))
    said: list[Reply] = []
    train_final(one, said.append, lambda: None)
    Path(f"{other.checkpoint}-{other.seeds[0]}.pt").write_bytes(b"no checkpoint")
    train_final(other, said.append, lambda: None)
    assert "begins anew" in capsys.readouterr().err
    first, second = ((tmp_path / name / WEIGHTS).read_bytes() for name in ("one", "other"))
    assert first == second


def test_it_computes_in_what_the_session_says(done: Snapshot, tmp_path: Path) -> None:
    for dtype in ("float32", "bfloat16"):
        execution = done.session.execution.model_copy(update={"dtype": dtype})
        session = done.session.model_copy(update={"execution": execution})
        what = final_order(replace(done, session=session), 0, 1, tmp_path / dtype)
        said: list[Reply] = []
        train_final(what, said.append, lambda: None)
        end = said[-1]
        assert isinstance(end, FinalDone)
        assert end.result.machine.dtype == dtype
    named = execution.model_copy(update={"devices": ("cuda:1", "cuda:0")})
    session = done.session.model_copy(update={"execution": named})
    what = final_order(replace(done, session=session), 0, 1, tmp_path / "named")
    assert what.device == "cuda:1"


def test_a_stop_between_two_seeds_is_heard_there(done: Snapshot, tmp_path: Path) -> None:
    what = final_order(done, 0, 1, tmp_path / "out", seeds=2)
    said: list[Reply] = []

    def asked() -> Asked:
        # asked for in the last epoch of the first
        return "pause" if any(isinstance(one, FinalProgress) for one in said) else None

    train_final(what, said.append, asked)
    assert said[-1] == FinalEnded(paused=True)
    assert {one.training for one in said if isinstance(one, FinalProgress)} == {1}


def test_all_images_are_all_but_the_sessions_test_set(done: Snapshot, tmp_path: Path) -> None:
    what = final_order(done, 0, 1, tmp_path / "out", images="all")
    said: list[Reply] = []
    train_final(what, said.append, lambda: None)
    end = said[-1]
    assert isinstance(end, FinalDone)
    session, test = read_final(done.session.data)
    every, its_test = read_final(end.result.data)
    assert (its_test.images == test.images).all()
    assert len(session.train_numbers) == 200
    assert end.result.train_images == len(every.train_numbers) == 1438
    assert end.result.test_images == len(test)
    assert "on all 1,438 images outside the test set" in (tmp_path / "out/network.py").read_text()


def test_it_ends_with_whoever_wanted_it(done: Snapshot, tmp_path: Path) -> None:
    training = FinalTraining(final_order(done, 0, 100_000, tmp_path / "out"))
    next(iter(training))
    assert training._process.stdin is not None
    training._process.stdin.close()  # as its owner's death does
    assert training._process.wait(PATIENCE) == 0
    assert not (tmp_path / "out").exists()


def test_what_kills_it_is_told(done: Snapshot, tmp_path: Path) -> None:
    training = FinalTraining(final_order(done, 0, 100_000, tmp_path / "out"))
    said = iter(training)
    next(said)
    training._process.kill()
    with pytest.raises(Died, match="SIGKILL"):
        for _ in said:
            pass


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fingerprint": "0" * 64}, "have changed"),
        ({"data": DataSource(spec="nothing")}, "'nothing'"),
        ({"config": {**RICH, "groups": [1, 3, 1]}}, r"groups\[2\]"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_words(
    done: Snapshot, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    what = final_order(done, 0, 2, tmp_path / "out").model_copy(update=change)
    with pytest.raises(FinalError, match=said):
        list(FinalTraining(what))
    assert not (tmp_path / "out").exists()


def test_onnx_without_its_packages_is_told_before_anything_is_trained(
    done: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    what = final_order(done, 0, 2, tmp_path / "out", onnx=True)
    with pytest.raises(CannotFinish, match="lcsearch\\[onnx\\]") as caught:
        train_final(what, lambda reply: None, lambda: None)
    assert all(name in str(caught.value) for name in ONNX_PACKAGES)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[Steps]:
    """One thread of two is free; every step says with how many it was done, and its loss."""
    before, whole = torch.get_num_threads(), loop.step
    steps: Steps = []
    torch.set_num_threads(2)

    def look(self: Threads) -> None:
        self.wanted = 1

    def step(run: Run, drawn: Draw, start: int, end: int) -> torch.Tensor:
        loss = whole(run, drawn, start, end)
        steps.append((torch.get_num_threads(), loss.item(), end - start))
        return loss

    monkeypatch.setattr(Threads, "look", look)
    monkeypatch.setattr(loop, "step", step)
    yield steps
    torch.set_num_threads(before)


@pytest.mark.parametrize(("worth", "expected"), [(10**6, 2), (10**12, 1)])
def test_its_threads_follow_from_its_size_and_from_nothing_else(
    done: Snapshot,
    tmp_path: Path,
    short: Steps,
    monkeypatch: pytest.MonkeyPatch,
    worth: int,
    expected: int,
) -> None:
    """Others want a processor from the beginning on: it would be another network with fewer."""
    monkeypatch.setattr(threads, "WORTH_MACS", worth)
    said: list[Reply] = []
    train_final(final_order(done, 0, 1, tmp_path / "out"), said.append, lambda: None)
    assert {count for count, _, _ in short} == {expected}
    end = said[-1]
    assert isinstance(end, FinalDone)
    assert end.result.machine.threads == expected
    assert torch.get_num_threads() == 2


def test_a_loss_is_that_of_the_epoch_it_is_said_with(
    done: Snapshot, tmp_path: Path, short: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lcsearch.engine.training.final.SECONDS_A_WORD", 0.0)
    what = final_order(done, 0, 3, tmp_path / "out")
    what = what.model_copy(update={"config": {**what.config, "batch_size": 64}})
    said: list[Reply] = []
    train_final(what, said.append, lambda: None)
    *before, end = said
    assert isinstance(end, FinalDone)
    words = [word for word in before if isinstance(word, FinalProgress)]
    assert len(words) == len(before) == len(short)
    total = images = 0.0
    for word, (_, loss, count) in zip(words, short, strict=True):
        total, images = total + loss * count, images + count
        assert word.train_loss == pytest.approx(total / images, rel=1e-5)
        assert word.ended == (images == 200)
        if word.ended:
            total = images = 0.0
    assert [word.epoch for word in words if word.ended] == [1, 2, 3]
    assert words[-1].train_loss == end.result.train_loss


def test_each_epoch_is_a_line_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    snapshot = make_snapshot(running=0, queued=0)
    told: dict[str, Any] = {"state": "running", "loss": 0.5, "seconds_left": 2}
    steps: list[dict[str, Any]] = [
        {"state": "queued"},
        {**told, "epoch": 1, "done": 0.5, "seconds_left": 60},
        {**told, "epoch": 1, "done": 0.7, "loss": 0.4},
        {**told, "epoch": 2, "done": 1.0, "loss": 0.25},
        {"state": "done", "scores": (0.9, 0.92), "seeds": (1, 2)},
    ]
    given = iter([replace(snapshot, deliveries=(delivery(**step),)) for step in steps])

    class Client(FakeClient):
        def refresh(self) -> Snapshot:
            return next(given)

    finals = progress.follow_deliveries(Client(snapshot), [1])
    assert finals is not None
    assert finals[0].state == "done"
    said = capsys.readouterr().err
    assert "epoch 1/2 · loss 0.5000 · about 1 min left" in said
    assert "epoch 2/2 · loss 0.2500" in said
    assert said.count("epoch 1/2") == 1
    assert "90.00 % on the test set (2 seeds: 91.00 ± 1.41)" in said


def result_of(what: FinalOrder) -> FinalResult:
    return FinalResult(
        **what.model_dump(include={"session", "trial", "config", "features", "epochs"}),
        seed=what.seeds[0],
        augment="none", data=what.data, data_fingerprint="f", train_images=1, test_images=1,
        test_accuracy=0.5, metric="accuracy", test_metric=0.5, class_weights="none",
        classes=(), recalls=(), confusion=b"", train_loss=1.0, params=1, macs=1, seconds=1.0,
        machine=machine(torch.device("cpu"), torch.float32), lcsearch="0", files=(),
    )  # fmt: skip


def test_a_full_disk_and_a_late_cancel_leave_nothing(
    done: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = final_order(done, 0, 2, tmp_path / "out")
    data, _ = read_final(what.data)
    model = build(cnn.network(what.config, data.summary.shape, 10), 0)
    folder, result = tmp_path / "out", result_of(what)
    assert write(folder, model, data, result, False, lambda: True) is None
    assert [p for p in tmp_path.iterdir() if "out" in p.name or "part" in p.name] == []

    def full(network: portable.Portable, path: Path) -> NoReturn:
        path.write_bytes(b"a part")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(portable, "write_weights", full)
    with pytest.raises(CannotFinish, match="No space left"):
        write(folder, model, data, result, False, lambda: False)
    assert [p.name for p in tmp_path.iterdir() if "out" in p.name or "part" in p.name] == []


def test_folders_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert usable(tmp_path / "empty") == tmp_path / "empty"
    assert usable(tmp_path / "new") == tmp_path / "new"
    for path, said in (
        (tmp_path, "not empty"),
        (tmp_path / "file", "is no folder"),
        (tmp_path / "link", "is no folder"),
        (tmp_path / "no" / "out", "no such folder"),
        (tmp_path / "file" / "out", "no such folder"),
        # where not even root may write
        (Path("/proc/out"), "cannot be written"),
        (tmp_path / ("n" * 256), "cannot be used"),
        (Path("~nobody-of-this-name/out"), "cannot be used"),
        (Path("a\0b"), "cannot be used"),
    ):
        with pytest.raises(FinalError, match=said):
            usable(path)


def test_a_trial_that_is_not_there_is_refused(home: Path) -> None:
    with pytest.raises(FinalError, match="no such trial"):
        wanted(filled_store(home, 4).refresh(), 99, home / "out")


def test_the_command_line_does_not_import_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom lcsearch.engine.executors import final\n"
        "import lcsearch.tui.commands.follow\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True, cwd=tmp_path)
