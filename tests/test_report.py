"""The page and the plots that people share: whole, escaped, without a request, in any state."""

import csv
import html
import io
import json
import re
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lcsearch.engine import search
from lcsearch.engine.search.standing import Recommendation
from lcsearch.engine.tasks.task import session_space
from lcsearch.sessions.errors import Misuse, StoreError
from lcsearch.sessions.records import DataSource, Failure
from lcsearch.sessions.snapshot import Snapshot
from lcsearch.tui.cli import app
from lcsearch.tui.sharing import draw as plots
from lcsearch.tui.sharing import figures, report
from lcsearch.tui.sharing.page import page

from .conftest import PATIENCE, need
from .fakes import delivery, empty_snapshot, make_snapshot
from .sessions_for_tests import filled_store, make_store

HOSTILE = "<script>alert(1)</script> & \"quoted\" 'single' {{ 7*7 }} ]]> </svg> $x^2$"


class Reader(HTMLParser):
    """Elements, attributes and text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    return reader


def made(
    snapshot: Snapshot, best: int | None = None, belief: tuple[float, float] | None = None
) -> str:
    chosen = None if best is None else Recommendation(snapshot.trials[best], belief)
    return report.html(page(snapshot, session_space(snapshot.session), chosen))


def test_a_full_session_is_told_whole_and_asks_for_nothing() -> None:
    snapshot = make_snapshot(failed=1)
    text = made(snapshot, 3, (0.15, 0.01))
    found = read(text)
    assert found.tags.count("svg") == 4
    assert "script" not in found.tags
    assert not {"link", "img", "iframe", "object"} & set(found.tags)
    addresses = [value for name, value in found.attributes if name in ("src", "href", "action")]
    assert all(value is not None and value.startswith("#") for value in addresses)
    assert "url(http" not in text
    assert "@import" not in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    words = " ".join(found.text)
    for trial in snapshot.trials:
        assert f"{trial.costs['params']:,.0f}" in words
    assert "the loss is not finite in epoch 3" in words
    assert "within two" in words
    rows = re.findall(r'<table class="(\w+)">.*?</table>', text, re.DOTALL)
    assert {"space", "layers", "trials", "decisions"} <= set(rows)


MEASURE = """
onload = () => {
  const told = {};
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument, broken = [];
    const texts = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const node = texts.currentNode;
      if (node.parentElement.closest("svg, style")) continue;
      for (const word of node.data.matchAll(/[^\\s\\/]+/g)) {
        const range = page.createRange();
        range.setStart(node, word.index);
        range.setEnd(node, word.index + word[0].length);
        const lines = new Set([...range.getClientRects()].map(box => Math.round(box.top)));
        if (lines.size > 1) broken.push(word[0]);
      }
    }
    const wide = page.documentElement.scrollWidth - frame.clientWidth;
    told[frame.width] = {broken, wide: Math.max(wide, 0)};
  }
  document.body.textContent = "told " + JSON.stringify(told) + " told";
}
"""


def test_no_word_and_no_number_is_broken_at_any_width(tmp_path: Path) -> None:
    snapshot = make_snapshot(failed=1)
    trials = [
        t.model_copy(update={"source": "autopilot"}) if t.number > 9 else t for t in snapshot.trials
    ]
    data = DataSource(spec="idx:/usr/share/datasets/fashion-mnist")
    session = snapshot.session.model_copy(update={"data": data})
    text = made(replace(snapshot, trials=tuple(trials), session=session), 3, (0.15, 0.01))
    widths = (360, 412, 768, 1200)
    frames = "".join(
        f'<iframe width="{width}" height="900" srcdoc="{html.escape(text)}"></iframe>'
        for width in widths
    )
    outer = tmp_path / "outer.html"
    outer.write_text(f"<!DOCTYPE html><body>{frames}<script>{MEASURE}</script>")
    done = subprocess.run(
        [need("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
         f"--user-data-dir={tmp_path}/profile", outer.as_uri()],
        capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    told = re.search(r"told (\{.*\}) told", done.stdout)
    assert told is not None, done.stdout[-500:]
    found = json.loads(html.unescape(told[1]))
    assert found == {str(width): {"broken": [], "wide": 0} for width in widths}


def test_every_colour_of_its_plots_is_the_pages_own() -> None:
    text = made(make_snapshot())
    svg = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    used = set(re.findall(r"var\(--(\w+)\)", svg))
    assert {"text", "label", "mean", "trial", "front"} <= used
    defined = set(re.findall(r"--(\w+):", text))
    assert used <= defined
    # a colour that is no variable would vanish on dark paper
    assert set(re.findall(r"#[0-9a-fA-F]{6}", svg)) <= {"#000000"}


def test_an_empty_session_has_a_page() -> None:
    words = " ".join(read(made(empty_snapshot())).text)
    assert "No network has been trained to its end yet" in words
    assert "Nothing has been decided yet" in words


def test_final_trainings_are_listed_with_how_often_the_test_set_was_looked_at() -> None:
    snapshot = make_snapshot()
    without = made(snapshot)
    assert "never looked at" in without
    assert "Final trainings" not in without
    finals = (
        delivery(
            number=1, state="done", scores=(0.9123, 0.9), seeds=(1, 2), folder="/models/<b>one"
        ),
        delivery(number=2, state="done", scores=(0.8,), folder="/models/two"),
        delivery(number=3, state="stopped", folder="/models/three"),
    )
    told = made(replace(snapshot, deliveries=finals))
    assert "never looked at" not in told
    assert "looked at 3 times (by final trainings 1, 2)" in told
    assert "is a selection" in told
    for words in ("91.23, 90.00", "80.00", "/&lt;b&gt;one", "/models/two", "stopped"):
        assert words in told
    assert "/models/three" not in told  # nothing was written there


def test_what_was_done_to_the_images_is_told() -> None:
    snapshot = empty_snapshot()
    notes = ("Images are of 3 sizes: brought to 32x32.", "Left out: <b>.DS_Store</b>.")
    summary = snapshot.session.summary.model_copy(update={"notes": notes})
    session = snapshot.session.model_copy(update={"summary": summary})
    told = made(replace(snapshot, session=session))
    assert html.escape(" ".join(notes)) in told


def test_what_people_wrote_is_escaped() -> None:
    snapshot = make_snapshot(data=DataSource(spec=f"folder:{HOSTILE}"), failed=1)
    decisions = tuple(d.model_copy(update={"reason": HOSTILE}) for d in snapshot.decisions)
    failure = Failure(kind="exception", message=HOSTILE)
    trials = tuple(
        t if t.failure is None else t.model_copy(update={"failure": failure})
        for t in snapshot.trials
    )
    session = snapshot.session.model_copy(update={"name": HOSTILE})
    text = made(type(snapshot)(2, session, trials, decisions, snapshot.engine))
    found = read(text)
    assert "script" not in found.tags
    assert "49" not in re.findall(r"quoted.{0,40}", " ".join(found.text))[0]
    assert " ".join(found.text).count("alert(1)") >= len(decisions) + 3
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ET.fromstring(svg.replace("xlink:href", "href"))


@pytest.mark.parametrize("what", ["tradeoff", "convergence", "calibration", "curves"])
@pytest.mark.parametrize("state", ["full", "empty"])
def test_every_figure_is_written_as_what_its_name_ends_with(
    tmp_path: Path, what: str, state: str
) -> None:
    snapshot = make_snapshot() if state == "full" else empty_snapshot()
    figure = getattr(figures, what)(snapshot)
    for kind in plots.KINDS:
        plots.write(figure, tmp_path / f"out.{kind}")
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    root = ET.fromstring((tmp_path / "out.svg").read_text())
    assert root.tag.endswith("svg")
    rows = list(csv.reader(io.StringIO((tmp_path / "out.csv").read_text())))
    data = json.loads((tmp_path / "out.json").read_text())
    assert rows[0] == list(figure.columns)
    assert len(rows) - 1 == len(data["rows"]) == len(figure.rows)
    assert bool(figure.rows) == (state == "full")


def test_the_figures_hold_what_was_measured() -> None:
    snapshot = make_snapshot()
    done = [t for t in snapshot.trials if t.observed]
    table = figures.tradeoff(snapshot)
    assert [row[0] for row in table.rows] == [t.number for t in done]
    front = {row[0] for row in table.rows if row[-1]}
    assert front == {t.number for t in search.pareto(done)}
    best = [row[3] for row in figures.convergence(snapshot).rows]
    assert best == sorted(best, reverse=True)
    values = [search.objective(t, snapshot.session.wc) for t in done]
    assert None not in values
    assert best[-1] == min(value for value in values if value is not None)
    assert all(row[0] > 0 for row in figures.calibration(snapshot).rows)


def test_one_trial_that_learnt_nothing_does_not_press_the_rest_flat() -> None:
    snapshot = make_snapshot()
    trials = list(snapshot.trials)
    trials[2] = trials[2].model_copy(update={"error": 0.9, "complexity": 8.0})
    plot = figures.convergence(
        type(snapshot)(1, snapshot.session, tuple(trials), (), snapshot.engine)
    ).plot
    assert plot is not None
    assert plot.y.high < 0.6
    assert any(mark.char == "▴" for mark in plot.marks)


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match=r"\.svg, \.png, \.csv or \.json"):
        plots.write(figures.tradeoff(make_snapshot()), tmp_path / "chart.pdf")


def test_without_matplotlib_the_remedy_is_told_and_figures_still_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    figure = figures.tradeoff(make_snapshot())
    plots.write(figure, tmp_path / "out.csv")
    with pytest.raises(StoreError, match=r"pip install 'lcsearch\[plots\]'"):
        plots.write(figure, tmp_path / "out.svg")
    assert not (tmp_path / "out.svg").exists()


def test_the_commands(home: Path, tmp_path: Path) -> None:
    store = filled_store(home, 3)
    store.close()
    make_store(home, "young").close()
    run = CliRunner().invoke
    place = tmp_path / "page.html"
    done = run(app, ["report", "demo", "-o", str(place)])
    assert done.exit_code == 0, done.stderr
    assert "recommended" in place.read_text()
    for name in ("page.pdf", "page"):
        wrong = run(app, ["report", "demo", "-o", str(tmp_path / name)])
        assert wrong.exit_code == 2
        assert "End the file's name with .html" in wrong.stderr
        assert not (tmp_path / name).exists()
    done = run(app, ["plot", "demo", "belief", "--along", "conv_layers", "-o", f"{tmp_path}/b.csv"])
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "b.csv").read_text().startswith("conv_layers,mean,std,near\n2,")
    # a person counts layers from 1, a program reads the index in the configuration's list
    for along, column in (("channels[1]", "channels[0]"), ("channels[2]", "channels[1]")):
        done = run(app, ["plot", "demo", "belief", "--along", along, "-o", f"{tmp_path}/c.json"])
        assert done.exit_code == 0, done.stderr
        written = json.loads((tmp_path / "c.json").read_text())
        assert written["x"] == along
        assert written["title"].endswith(f"along {along}")
        assert column in written["rows"][0]
    wrong = run(
        app, ["plot", "demo", "belief", "--along", "channels[0]", "-o", f"{tmp_path}/c.csv"]
    )
    assert wrong.exit_code == 2
    assert "Use conv_layers, channels[1], channels[2]" in wrong.stderr
    wrong = run(app, ["plot", "demo", "curves", "--trial", "99", "-o", f"{tmp_path}/b.csv"])
    assert wrong.exit_code == 2
    assert "trials 0 to 3" in wrong.stderr
    assert run(app, ["plot", "demo", "tradeoff", "-o", f"{tmp_path}/b.xyz"]).exit_code == 2
    for what, *option in (("tradeoff", "--trial", "1"), ("curves", "--along", "conv_layers")):
        useless = run(app, ["plot", "demo", what, *option, "-o", f"{tmp_path}/no.csv"])
        assert useless.exit_code == 2
        assert option[0] in useless.stderr
    assert not (tmp_path / "no.csv").exists()
    young = run(app, ["plot", "young", "tradeoff", "-o", f"{tmp_path}/y.svg"])
    assert young.exit_code == 0, young.stderr
