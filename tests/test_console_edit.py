"""The form that a network is changed in, or made in."""

from __future__ import annotations

import re

import pytest
from textual.widgets import Input, Label

from lcsearch.engine.tasks.domains import Categorical
from lcsearch.engine.tasks.task import parameters_of, task_named
from lcsearch.tui.dialogs.edit import ChoiceField, EditDialog, NumberField

from .consoles import NARROW, WIDE, console, press, ranking_of, settled, text_of
from .fakes import FakeClient, make_snapshot


async def test_edit_sends_the_changed_network_with_the_belief_about_it() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        before = ranking_of(pilot).proposals[0]
        await press(pilot, "e")
        assert isinstance(pilot.app.screen, EditDialog)
        fields = list(pilot.app.screen.query(".field"))
        kernel = fields[0]
        assert isinstance(kernel, NumberField)
        old = kernel.value
        await press(pilot, "up" if old != "7" else "down")
        assert kernel.value != old
        figures = text_of(pilot, "#figures")
        assert before.prediction is not None
        assert f"{before.prediction.mean:.3f}" in figures
        pilot.app.screen.query_one("#reason", Input).value = "wider looks"
        await press(pilot, "enter")
        ((config, prediction, kind, reason),) = client.made("submit")
        assert kind == "edit"
        assert reason == "wider looks"
        assert config["kernel"][0] == int(kernel.value)
        assert config["kernel"][1:] == before.config["kernel"][1:]
        assert prediction == ranking_of(pilot).evaluate([config])[0].prediction


async def test_an_invalid_edit_is_explained_and_not_sent() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "e")
        field = pilot.app.screen.query(".field").first(Input)
        field.value = "4"
        await settled(pilot)
        assert "kernel[1] = 4" in text_of(pilot, "#problems")
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, EditDialog)
        assert not client.made("submit")
        field.value = "5"
        await settled(pilot)
        assert text_of(pilot, "#problems") == ""
        await press(pilot, "enter")
        assert len(client.made("submit")) == 1


async def test_a_value_that_is_not_searched_is_remarked_and_trains() -> None:
    client = FakeClient(make_snapshot(level=1, done=(6,), domains={"channels": "8..96"}))
    async with console(client) as pilot:
        await press(pilot, "e")
        names = [str(label.render()) for label in pilot.app.screen.query(".form-row .name")]
        assert "conv_layers" in names  # as the region's dialog, the chart and the errors name it
        last = [f for f in pilot.app.screen.query(NumberField) if f.parameter.name == "channels"][
            -1
        ]
        assert last.index is not None
        last.value = "128"
        await settled(pilot)
        said = text_of(pilot, "#problems")
        assert f"channels[{last.index + 1}] = 128: outside what is searched, 8..96" in said
        await press(pilot, "enter")
        assert client.made("submit")[0][0]["channels"][-1] == 128


async def test_another_optimiser_takes_its_learning_rate_with_it() -> None:
    names = parameters_of(task_named("cnn"), "full")
    client = FakeClient(make_snapshot(level=4, done=(6, 1, 1, 3), parameters=names))
    async with console(client) as pilot:
        await press(pilot, "e")
        form = pilot.app.screen

        def field(name: str) -> ChoiceField | NumberField:
            found: list[ChoiceField | NumberField] = [*form.query(ChoiceField)]
            found += form.query(NumberField)
            return next(one for one in found if one.parameter.name == name)

        def hints() -> str:
            return "\n".join(str(label.render()) for label in form.query(".hint").results(Label))

        def choose(name: str, value: str) -> None:
            chosen = field(name)
            chosen.focus()
            chosen.value = value

        choose("optimiser", "adam")
        await settled(pilot)
        rate = field("learning_rate")
        rate.value = "0.003"
        await settled(pilot)
        choose("optimiser", "sgd")
        await settled(pilot)
        assert field("learning_rate").value == "0.06"
        assert "0.002..2" in hints()
        assert getattr(form.focused, "parameter", None) == field("optimiser").parameter
        # a step stays in the domain of the optimiser
        field("learning_rate").focus()
        await press(pilot, "up")
        assert 0.06 < float(field("learning_rate").value) < 0.1
        choose("schedule", "cosine")
        await settled(pilot)
        assert "counts with schedule exponential alone" in hints()
        assert "outside what is searched" not in text_of(pilot, "#problems")
        choose("schedule", "exponential")
        await settled(pilot)
        assert "alone" not in hints()
        choose("schedule", "one-cycle")
        await settled(pilot)
        await press(pilot, "enter")
        config = client.made("submit")[0][0]
        assert (config["optimiser"], config["schedule"]) == ("sgd", "one-cycle")
        assert 0.06 < config["learning_rate"] < 0.1


async def test_more_layers_in_the_form_lengthen_every_list() -> None:
    client = FakeClient(make_snapshot(level=1, done=(6,)))
    async with console(client) as pilot:
        await press(pilot, "e")
        start = int(pilot.app.screen.query(".field").first(Input).value)
        pilot.app.screen.query(".field").first(Input).value = str(start + 1)
        await settled(pilot)
        await press(pilot, "enter")
        ((config, *_),) = client.made("submit")
        assert config["conv_layers"] == start + 1
        for name in ("channels", "downsample", "kernel", "batch_norm", "groups"):
            assert len(config[name]) == start + 1


async def test_a_number_of_the_form_is_shown_whole() -> None:
    client = FakeClient(make_snapshot(level=4, done=(6, 3, 2, 3)))
    async with console(client) as pilot:
        await press(pilot, "e")
        rate = next(
            f for f in pilot.app.screen.query(NumberField) if f.parameter.name == "learning_rate"
        )
        rate.value = "0.0008928"
        rate.focus()
        rate.cursor_position = len(rate.value)
        await settled(pilot)
        assert rate.scroll_x == 0
        assert rate.content_size.width > len(rate.value)


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_eight_layers_are_seen_or_the_form_says_that_there_are_more(
    size: tuple[int, int],
) -> None:
    domains = {"conv_layers": "8..8", "channels": "8..96"}
    client = FakeClient(make_snapshot(level=1, done=(6,), domains=domains))
    async with console(client, size=size) as pilot:
        await press(pilot, "e")
        across, more = (
            pilot.app.screen.query_one("#form-across"),
            pilot.app.screen.query_one("#more"),
        )
        heads = pilot.app.screen.query(".form-row .head")
        assert len(heads) == 8
        seen = heads.last().region.right <= across.region.right
        assert seen == (size == WIDE)
        assert more.display != seen
        if not seen:
            assert str(more.render()) == "more layers ▸"
            across.scroll_to(x=across.max_scroll_x, animate=False)
            await settled(pilot)
            assert str(more.render()) == "◂ more layers"


async def test_new_starts_from_the_incumbent() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        number = ranking_of(pilot).incumbent_number
        assert number is not None
        await press(pilot, "n")
        assert f"trial {number}" in str(pilot.app.screen.query_one(".dialog").border_title)
        await press(pilot, "enter")
        ((config, _, kind, _),) = client.made("submit")
        assert kind == "new"
        assert config == client.snapshot.trials[number].config


async def test_a_network_that_is_no_candidate_is_not_ranked_among_them() -> None:
    async with console(FakeClient(make_snapshot())) as pilot:
        await press(pilot, "n")
        assert re.search(r"\(would be \S+ of 2,411\)", text_of(pilot, "#figures"))


async def test_a_choice_that_stands_alone_is_written_out() -> None:
    names = parameters_of(task_named("cnn"), "full")
    client = FakeClient(make_snapshot(level=4, done=(6, 1, 1, 3), parameters=names))
    async with console(client, size=(80, 24)) as pilot:
        await press(pilot, "e")
        alone = [f for f in pilot.app.screen.query(ChoiceField) if f.index is None]
        assert {field.parameter.name for field in alone} == {"schedule", "optimiser"}
        for field in alone:
            assert isinstance(field.parameter.domain, Categorical)
            longest = max(len(str(choice)) for choice in field.parameter.domain.choices)
            assert field.content_size.width >= longest
