"""Latency: the graph that is timed, the process that times, and what a ranking makes of it."""

from __future__ import annotations

import json
import math
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lcsearch.engine import search
from lcsearch.engine.client.imports import bring_back
from lcsearch.engine.client.session import SessionClient
from lcsearch.engine.executors.latency import LatencyProbe, Lost, NotTimed, Stopwatch
from lcsearch.engine.objective import NEVER
from lcsearch.engine.protocol import Clock, Clocked
from lcsearch.engine.tasks import cnn
from lcsearch.engine.tasks.cnn.layout import Network
from lcsearch.engine.tasks.task import open_store, session_space
from lcsearch.engine.training.build import build
from lcsearch.engine.training.graph import Weights, graph, spread
from lcsearch.engine.training.latency import Clockwork, timed
from lcsearch.engine.training.sparse import SparseLinear
from lcsearch.sessions.records import Config, Latency
from lcsearch.sessions.snapshot import Snapshot, comparable
from lcsearch.sessions.store import Store
from lcsearch.tui.cost import timed as told_timed

from .conftest import PATIENCE, benchmark, lcsearch, wait_for
from .sessions_for_tests import filled_store

Array = NDArray[np.float32]
SHAPE = (2, 21, 27)


def random_networks(count: int, features: int) -> list[Network]:
    space = cnn.space(SHAPE, 5, features=features)
    rng = np.random.default_rng(features)
    assert space.reference is not None
    found: list[Network] = []
    while len(found) < count:
        config = space.sample(rng, 0, space.reference)
        laid = None if space.broken(config) else cnn.network(config, SHAPE, 5, features)
        if laid is not None and laid.params < 500_000:
            found.append(laid)
    return found


def weights_of(model: nn.Sequential) -> dict[str, Array]:
    """What the graph asks for, batch norm folded, sparse layers with their zeros."""
    found: dict[str, Array] = {
        "mean": np.zeros((SHAPE[0], 1, 1), np.float32),
        "std": np.ones((SHAPE[0], 1, 1), np.float32),
    }
    layers = list(model)
    convolutions = dense = 0
    for layer, following in zip(layers, [*layers[1:], None], strict=True):
        if isinstance(layer, nn.Conv2d):
            name, convolutions = f"conv{convolutions}", convolutions + 1
            if isinstance(following, nn.BatchNorm2d):
                layer = fuse_conv_bn_eval(layer, following)
            weight, bias = layer.weight, layer.bias
        elif isinstance(layer, nn.Linear | SparseLinear):
            name, dense = f"dense{dense}", dense + 1
            weight, bias = layer.weight, layer.bias
            if isinstance(layer, SparseLinear):
                zeros = torch.zeros(layer.outputs, layer.inputs)
                weight = zeros.scatter(1, layer.connected(), layer.weight)
        else:
            continue
        assert bias is not None
        found |= {f"{name}.weight": weight.detach().numpy(), f"{name}.bias": bias.detach().numpy()}
    return found


def held(found: dict[str, Array]) -> Weights:
    return lambda name, shape: found[name].reshape(shape)


def unsettle(model: nn.Sequential) -> None:
    """Batch norm with statistics that show where they are left out."""
    for layer in model:
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            nn.init.uniform_(layer.running_mean, -0.5, 0.5)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)


@pytest.mark.parametrize("features", [1, 2, 4])
def test_the_graph_computes_what_the_network_does(features: int) -> None:
    image = np.random.default_rng(0).standard_normal((1, *SHAPE), np.float32)
    for number, network in enumerate(random_networks(25, features)):
        model = build(network, number).eval()
        unsettle(model)
        made = graph(network, held(weights_of(model)))
        onnx.checker.check_model(made)
        session = onnxruntime.InferenceSession(made.SerializeToString())
        found = session.run(None, {"images": image})[0]
        with torch.inference_mode():
            wanted = model(torch.from_numpy(image)).numpy()
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)
        sizes = [math.prod(array.dims) for array in made.graph.initializer]
        assert sum(sizes) >= network.size / 4 - 4 * network.dense[-1].outputs


def test_what_is_timed_holds_no_zeros_and_no_infinities() -> None:
    for network in random_networks(10, 4):
        session = onnxruntime.InferenceSession(graph(network, spread(network)).SerializeToString())
        image = {"images": np.full((1, *SHAPE), 0.5, np.float32)}
        logits = session.run(None, image)[0]
        assert np.isfinite(logits).all()
        assert np.abs(logits).max() > 1e-3


def test_interruptions_move_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    calls = [0]

    def runs(seconds: float) -> Callable[[], None]:
        def run() -> None:
            calls[0] += 1
            clock[0] += seconds + (0.5 if calls[0] % 7 == 0 else 0.0)

        return run

    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    ratio, variation, milliseconds = timed(runs(0.0006), runs(0.0003))
    assert [ratio, milliseconds] == pytest.approx([2.0, 0.3])
    assert variation < 1e-6


@pytest.mark.parametrize("runtime", ["onnx", "torch"])
def test_either_runtime_times_networks_beside_the_reference(runtime: str) -> None:
    space = cnn.space((1, 28, 28), 10)
    assert space.reference is not None
    wide = {**space.reference, "channels": [128, 128, 256, 256]}
    order = Clock.model_validate(
        {
            "runtime": runtime, "shape": (1, 28, 28), "classes": 10, "features": 4,
            "reference": space.reference, "configs": (space.reference, wide),
        }
    )  # fmt: skip
    found = Clockwork().answer(order)
    assert len(found) == 2
    for told in found:  # how large they are is the machine's affair, and the benchmark's
        assert told.ratio > 0
        assert told.reference_milliseconds > 0
        assert told.variation >= 0


# -- the process ----------------------------------------------------------------------------------

ORDER = Clock(
    runtime="onnx", shape=(1, 8, 8), classes=10, features=4,
    reference=cnn.reference((1, 8, 8), 10), configs=(),
)  # fmt: skip
ANSWER = Clocked(ratio=2.0, variation=0.01, reference_milliseconds=0.5).model_dump_json()
CONFIGS = [cnn.reference((1, 8, 8), 10)] * 3


def probe_of(code: str, seconds: float = 20.0) -> LatencyProbe:
    """One whose process is this program."""
    return LatencyProbe([sys.executable, "-c", f"import sys, time\n{code}"], seconds)


def test_a_probe_stays_warm_and_stops_when_its_time_is_over() -> None:
    probe = probe_of(f"for line in sys.stdin: print({ANSWER!r}, flush=True)")
    assert [told.ratio for _, told in probe.time(ORDER, CONFIGS, 60.0)] == [2.0] * 3
    process = probe._process
    assert len(list(probe.time(ORDER, CONFIGS, -1.0))) == 1
    assert process is not None
    assert probe._process is process
    probe.close()
    assert process.poll() is not None


@pytest.mark.parametrize(
    ("code", "seconds", "words"),
    [
        ("sys.exit(3)", 20.0, "died: it ended with exit status 3"),
        ("sys.stdin.read()", 0.2, "not timed within 0 s"),
        ('print(\'{"kind":"refused","message":"no onnx"}\')', 20.0, "no onnx"),
    ],
)
def test_a_probe_that_dies_hangs_or_refuses_says_so(code: str, seconds: float, words: str) -> None:
    probe = probe_of(code, seconds)
    with pytest.raises(NotTimed, match=words):
        list(probe.time(ORDER, CONFIGS, 60.0))
    probe.close()


def test_closing_waits_for_no_answer() -> None:
    probe = probe_of("sys.stdin.read()", 600.0)
    said: list[str] = []

    def ask() -> None:
        try:
            list(probe.time(ORDER, CONFIGS, 60.0))
        except NotTimed as error:
            said.append(str(error))

    asking = threading.Thread(target=ask)
    asking.start()
    wait_for(lambda: probe._process)
    probe.close()
    asking.join(PATIENCE)
    assert "died" in said[0]


# -- a session ------------------------------------------------------------------------------------


class FakeProbe(LatencyProbe):
    """Knows what each takes without running it: as long as it has parameters."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.asked: list[Config] = []
        self._space = session_space(snapshot.session)

    def time(
        self, order: Clock, configs: Sequence[Config], seconds: float
    ) -> Iterator[tuple[Config, Clocked]]:
        reference = self._space.known(order.reference)["params"]
        for config in configs:
            self.asked.append(config)
            ratio = self._space.known(config)["params"] / reference
            yield config, Clocked(ratio=ratio, variation=0.01, reference_milliseconds=0.5)


@pytest.fixture
def store(home: Path) -> Store:
    filled_store(home, 8, limits={"latency": 0.4}).close()
    return open_store(home / "sessions" / "demo")


def test_trials_and_candidates_are_timed_once_and_kept(store: Store) -> None:
    snapshot = store.refresh()
    probe = FakeProbe(snapshot)
    stopwatch = Stopwatch(store, probe)
    ranking = search.ranking(snapshot, session_space(snapshot.session), count=20)
    proposed = [p.config for p in ranking.proposals]
    assert stopwatch.time(snapshot, proposed) == 9 + 20
    after = store.refresh()
    assert len(after.latencies) == 29
    reference = after.trials[0]
    assert (reference.costs["latency"], reference.reference_costs["latency"]) == (0.5, 0.5)
    assert stopwatch.time(after, proposed) == 0
    assert len(probe.asked) == 29
    assert search.ranking_key(after) != search.ranking_key(snapshot)


def test_what_was_timed_is_known_and_the_rest_believed_from_it(store: Store) -> None:
    snapshot = store.refresh()
    space = session_space(snapshot.session)
    stopwatch = Stopwatch(store, FakeProbe(snapshot))
    for _ in range(3):
        snapshot = store.refresh()
        ranking = search.ranking(snapshot, space, count=20)
        stopwatch.time(snapshot, [p.config for p in ranking.proposals])
    snapshot = store.refresh()
    ranking = search.ranking(snapshot, space, count=20)
    measures = space.measures
    words = [told_timed(measures, proposal) for proposal in ranking.proposals]
    assert any("measured" in word for word in words)
    for proposal in ranking.proposals:
        assert proposal.prediction is not None
        mean, std = proposal.believed["latency"]
        if proposal.id in snapshot.latencies:
            assert [mean, std] == pytest.approx([snapshot.latencies[proposal.id].milliseconds, 0])
            assert proposal.known["latency"] == mean
        else:
            assert std > 0
    # all of those timed that are too slow, asked about: none promises anything
    slow = [one for one in snapshot.latencies.values() if one.milliseconds > 0.4]
    for found in ranking.evaluate([one.config for one in slow]):
        assert found.prediction is not None
        assert (found.prediction.log_ei, found.prediction.kept) == (NEVER, 0.0)


def test_complexity_can_be_of_latency(store: Store) -> None:
    client = SessionClient(store.folder)
    client.set_measure("latency")
    client._stopwatch = Stopwatch(client._store, FakeProbe(client.refresh()))
    assert all(trial.complexity is None for trial in client.refresh().trials)
    assert "left out until it is measured" in lcsearch("set", "demo", "--measure", "latency")[1]
    assert client.time(client.rank(client.refresh())) > 0
    snapshot = client.refresh()
    space = client.space
    assert space.reference is not None
    reference = space.known(space.reference)["params"]
    for trial in snapshot.trials:
        assert trial.complexity == pytest.approx(space.known(trial.config)["params"] / reference)
    client.close()


def test_a_limit_on_the_latency_that_f_c_is_of_is_a_limit_on_f_c(store: Store) -> None:
    client = SessionClient(store.folder)
    client.set_measure("latency")
    client._stopwatch = Stopwatch(client._store, FakeProbe(client.refresh()))
    client.time(client.rank(client.refresh()))
    snapshot = client.refresh()
    bounds = search.bounds_of(snapshot.session, client.space, snapshot.latencies.values())
    # 0.4 ms of the 0.5 ms that the reference takes: of one belief, not two that know no other
    assert bounds.complexity == pytest.approx(0.8)
    assert bounds.believed == {}
    ranking = client.rank(snapshot, count=20)
    for proposal in ranking.proposals:
        assert proposal.prediction is not None
        mean, std = proposal.believed["latency"]
        b = proposal.prediction
        assert (mean, std) == pytest.approx((0.5 * b.complexity, 0.5 * b.complexity_std))
    # while nothing was timed there is no such ratio
    assert search.bounds_of(snapshot.session, client.space).believed == {"latency": 0.4}
    client.close()


def test_it_is_exported_and_comes_back(store: Store, home: Path, tmp_path: Path) -> None:
    client = SessionClient(store.folder)
    client._stopwatch = Stopwatch(client._store, FakeProbe(client.refresh()))
    client.time(client.rank(client.refresh()))
    client.export(tmp_path / "demo.json")
    again = SessionClient(bring_back(home, tmp_path / "demo.json", "again"))
    assert again.refresh().latencies == client.refresh().latencies != {}
    assert [t.costs for t in again.refresh().trials] == [t.costs for t in client.refresh().trials]
    for opened in (again, client):
        opened.close()


def test_on_another_machine_nothing_is_timed_and_it_is_said(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopwatch = Stopwatch(store, FakeProbe(store.refresh()))
    assert stopwatch.time(store.refresh(), ()) == 9
    monkeypatch.setattr("lcsearch.engine.executors.latency.processor_name", lambda: "another")
    other = {**cnn.reference((1, 8, 8), 10), "kernel": [1, 1, 1, 1]}
    with pytest.raises(NotTimed, match="this machine is another, whose times do not compare"):
        stopwatch.time(store.refresh(), [other])


def test_a_probe_that_dies_loses_nothing_that_was_measured(store: Store) -> None:
    class Dies(FakeProbe):
        def time(
            self, order: Clock, configs: Sequence[Config], seconds: float
        ) -> Iterator[tuple[Config, Clocked]]:
            yield from super().time(order, configs[:4], seconds)
            raise NotTimed("it died")

    with pytest.raises(NotTimed, match="it died"):
        Stopwatch(store, Dies(store.refresh())).time(store.refresh(), ())
    assert len(store.refresh().latencies) == 4


def test_one_over_which_the_process_is_lost_stands_in_nobodys_way(store: Store) -> None:
    asked: list[Config] = []

    class Dies(FakeProbe):
        def time(
            self, order: Clock, configs: Sequence[Config], seconds: float
        ) -> Iterator[tuple[Config, Clocked]]:
            for config in configs:
                asked.append(config)
                if len(asked) == 3:
                    raise Lost("it died")
                yield from super().time(order, [config], seconds)

    stopwatch = Stopwatch(store, Dies(store.refresh()))
    with pytest.raises(NotTimed, match="it died"):
        stopwatch.time(store.refresh(), ())
    assert stopwatch.time(store.refresh(), ()) == 6
    assert asked.count(asked[2]) == 1
    assert len(store.refresh().latencies) == 8


def test_an_unsteady_measurement_is_made_once_more_and_the_steadier_one_kept(store: Store) -> None:
    class Unsteady(FakeProbe):
        variations = iter([0.2] * 9 + [0.04] * 4 + [0.3] * 5)

        def time(
            self, order: Clock, configs: Sequence[Config], seconds: float
        ) -> Iterator[tuple[Config, Clocked]]:
            for config, told in super().time(order, configs, seconds):
                yield config, told.model_copy(update={"variation": next(self.variations)})

    stopwatch = Stopwatch(store, Unsteady(store.refresh()))
    assert [stopwatch.time(store.refresh(), ()) for _ in range(3)] == [9, 9, 0]
    found = sorted(one.variation for one in store.refresh().latencies.values())
    # the reference's time stands for all, and stays what it was
    assert found in ([0.04] * 4 + [0.2] * 5, [0.04] * 3 + [0.2] * 6)


def test_trials_are_timed_however_often_it_was_tried_for_proposals(store: Store) -> None:
    class Slow(FakeProbe):
        def time(
            self, order: Clock, configs: Sequence[Config], seconds: float
        ) -> Iterator[tuple[Config, Clocked]]:
            yield from super().time(order, configs[:1], seconds)

    stopwatch = Stopwatch(store, Slow(store.refresh()))
    times = [stopwatch.time(store.refresh(), CONFIGS) for _ in range(9)]
    assert times == [1] * 9
    trials = store.refresh().trials
    assert all("latency" in trial.costs for trial in trials if trial.state == "done")


def test_what_another_kept_of_the_reference_meanwhile_is_what_milliseconds_are_of(
    store: Store,
) -> None:
    other = open_store(store.folder)

    class Beside(FakeProbe):
        def time(
            self, order: Clock, configs: Sequence[Config], seconds: float
        ) -> Iterator[tuple[Config, Clocked]]:
            for at, found in enumerate(super().time(order, configs, seconds)):
                if at == 4:  # the engine times the same in these moments, on a busy machine
                    Stopwatch(other, Busy(other.refresh())).time(other.refresh(), ())
                yield found

    class Busy(FakeProbe):
        def time(
            self, order: Clock, configs: Sequence[Config], seconds: float
        ) -> Iterator[tuple[Config, Clocked]]:
            for config, told in super().time(order, configs[:1], seconds):
                yield config, told.model_copy(update={"reference_milliseconds": 2.0})

    Stopwatch(store, Beside(store.refresh())).time(store.refresh(), ())
    scales = {one.milliseconds / one.ratio for one in store.refresh().latencies.values()}
    assert scales == {2.0}
    other.close()


def test_without_a_limit_on_it_nothing_is_timed(home: Path) -> None:
    store = filled_store(home, 2)
    probe = FakeProbe(store.refresh())
    assert Stopwatch(store, probe).time(store.refresh(), CONFIGS) == 0
    assert probe.asked == []


def test_only_what_one_machine_timed_by_one_runtime_is_compared() -> None:
    def latency(key: str, runtime: str, machine: str) -> Latency:
        return Latency.model_validate(
            {
                "key": key, "config": {}, "runtime": runtime, "machine": machine, "ratio": 1.0,
                "milliseconds": 1.0, "variation": 0.0,
            }
        )  # fmt: skip

    found = [latency("a", "torch", "x"), latency("b", "onnx", "y"), latency("c", "torch", "y")]
    assert list(comparable(found, None)) == ["a"]
    assert list(comparable(found, "onnx")) == ["b"]
    assert list(comparable(found, "torch")) == ["a"]
    assert comparable([], None) == {}


def test_another_process_sees_what_was_timed(store: Store) -> None:
    looking = open_store(store.folder)
    assert not looking.refresh().latencies
    Stopwatch(store, FakeProbe(store.refresh())).time(store.refresh(), ())
    assert looking.refresh().latencies == store.refresh().latencies
    assert looking.refresh().trials == store.refresh().trials
    looking.close()


# -- the benchmarks -------------------------------------------------------------------------------


def test_the_benchmark_holds_the_probe_against_the_exported_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert benchmark("inference").main(["--networks", "2", "--runtime", "torch", "--json"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["runtime"], line["networks"]) == ("torch", 2)
    assert -1 <= line["rank_correlation"] <= 1
    assert line["seconds_a_network"] > 0
