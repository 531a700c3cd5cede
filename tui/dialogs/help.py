"""What the keys do here, and what every figure means."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from .. import filters
from .. import format as words
from ..widgets.keys import key_name, offered, typed
from .base import Dialog

if TYPE_CHECKING:
    from ...engine.tasks.measure import Measure

FIGURES = (
    ("f", "the objective, smaller is better", "f = f_p + w_c · f_c"),
    ("f_p", "the error", "1 − best {validated} over the epochs"),
    ("f_c", "the complexity", "cost / cost of the reference network (trial 0)"),
    ("w_c", "how much complexity counts; 0 looks for accuracy alone", ""),
    ("μ f, σ f", "mean and standard deviation of the model's belief about f", ""),
    ("f*", "the incumbent: smallest posterior mean among the networks of this level", ""),
    ("EI", "expected improvement on f*", "(f* − μ) Φ(z) + σ φ(z),  z = (f* − μ) / σ"),
    ("by its mean", "the first term of EI; negative where μ > f*", "(f* − μ) Φ(z)"),
    ("by being unknown", "the second term of EI", "σ φ(z)"),
    ("{heading}", "predicted {validated} in percent", "100 · (1 − μ of f_p)"),
    (
        "s/ep",
        "seconds of an epoch: predicted for a candidate, as measured for a trial.  A busy machine "
        "is slow for everybody: f_c divides by the reference network, timed in the same moments, "
        "so that f_c may be small where s/ep is large",
        "candidate: μ of f_c · seconds of trial 0",
    ),
    (
        "4: across",
        "what a network costs: {exact}; by {measured} f_c itself, the reference "
        "network standing at 1, its own {measured} beside the axis",
        "",
    ),
    (
        "4: band",
        "the best {validated} ± σ that the model expects of a candidate which costs at most so "
        "much; flat where a dearer one is not expected to be better",
        "100 · (1 − least μ of f_p), its σ",
    ),
    (
        "4: ● • ○ ✗",
        "a trial of the front: no other is both better and cheaper; one that is beaten; one that "
        "breaks a limit, what limits forbid being shaded; one that failed, as far as it came",
        "",
    ),
    (
        "▸ ◂ ▴ ▾  3 outside",
        "points far off stand at the edge of a chart that they lie beyond, so that they do not "
        "press the others flat: further from the front, the best, the selected one and all but a "
        "tenth of the others at either end than half as wide as these lie; what O writes as "
        "CSV has them all",
        "",
    ),
    (
        "at once",
        "trials that train side by side, beside the word Training: the processors are shared "
        "between them, a GPU trains one. `new --parallel` or the set-up's field chooses it",
        "",
    ),
    (
        "may be gained",
        "the gap between f* and the best that the level may hold still; below the noise of a "
        "measurement the level is flat, and until flat leaves it",
        "min (μ + 1.28 σ) of the trials − min (μ − 1.28 σ) of all",
    ),
    (
        "favoured",
        "a region that you marked: a candidate outside counts less, ever less so with n trials",
        "EI · exp(−3 / n) for each parameter outside",
    ),
    ("by evolution", "also annealing, random: searches without a model: no μ, σ, EI, f*", ""),
    (
        "within 2σ",
        "measurements within the prediction ± 2 predictive σ; 95 % if well calibrated. On 5 a "
        "whisker is the prediction, ● what was measured within it, ✗ outside, a dashed line leads "
        "to it",
        "",
    ),
    (
        "you were right",
        "of the networks that you trained instead of the advisor's first candidate of that "
        "moment: f measured is below the candidate's, as measured if it was trained too, else as "
        "predicted then. The candidate is first by EI: it may have been there to learn from, so "
        "being right says who found the better network, not who taught the model more",
        "f of yours < f, else μ, of its candidate, under the w_c of then",
    ),
    ("16 · 32↓ · 64⇣", "channels of each convolution; ↓ by stride, ⇣ by pooling", ""),
    ("16 · 16 · +16", "+ where a shortcut adds the input of the layer before", ""),
    ("k335 b110 g122", "kernel, batch norm and groups of each convolution", ""),
    ("s011 silu", "which convolutions are separable; the activation where it is not ReLU", ""),
    ("c 64@.25·@1 λ1e-4", "hidden units @ density of each classifier layer; weight decay", ""),
    ("lr 1.0e-3 ×.99 B128", "learning rate, its factor per epoch, batch size", ""),
    ("… d.2", "dropout before each classifier layer", ""),
    ("sgd lr .1 cos B128 ls.1", "optimiser, cosine or 1cyc for the factor, label smoothing", ""),
    (
        "✓ ▲ ▼",
        "predicted ± σ of a measurement → measured: within 2σ, worse than that, better than that",
        "",
    ),
    (
        "μ on 3",
        "what was predicted of a trial, under the w_c that its f is under: the present one",
        "μ of f_p + w_c · μ of f_c, as predicted",
    ),
    (
        "filter of trials",
        "words, found anywhere in what there is to say of a trial, its network whole; and figures "
        f"({{figures}}), state, by={'|'.join(filters.DECIDERS)} and "
        "parameters against a value. All must hold; a parameter of layers matches in any of them, "
        "kernel[2] in the second; != says in none",
        filters.EXAMPLE,
    ),
    (
        "behind",
        "a trial that trains and falls behind: its f so far is worse than the median of others "
        "with its schedule at the same epoch",
        "",
    ),
)


ORDER = (
    "decide.accept",
    "decide.edit",
    "decide.new",
    "decide.reject",
    "decide.repeat",
    "decide.stop",
    "decide.autopilot",
    "decide.wc",
    "decide.limits",
    "decide.region",
    "decide.strategy",
    "decide.advance",
    "decide.reopen",
    "decide.undo",
    "export",
    "yank",
    "view",
    "chart.before",
    "chart.next",
)
"""What decides comes first; then the rest, and what moves the cursor last."""


def _place(name: str) -> int:
    if name in ORDER:
        return ORDER.index(name)
    return len(ORDER) + name.startswith("table.")


class HelpDialog(Dialog[None]):
    """Keys of the screen below, then the figures."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "question_mark,q",
            "cancel",
            "Close",
            show=False,
            id="help.close",
            tooltip="Close the help",
        ),
        Binding("j", "scroll(1)", "Down", show=False, id="help.down", tooltip="Scroll down"),
        Binding("k", "scroll(-1)", "Up", show=False, id="help.up", tooltip="Scroll up"),
    ]

    def __init__(
        self, below: Screen[Any], measures: Sequence[Measure], metric: words.MetricWords
    ) -> None:
        """measures: of what is searched.  metric: what is searched for, in words."""
        super().__init__()
        self.below = below
        self.measures = measures
        self.metric = metric

    def compose(self) -> ComposeResult:
        """Keys, figures."""
        with Vertical(classes="dialog tall wide") as box:
            box.border_title = "Help"
            box.border_subtitle = "esc closes"
            with VerticalScroll():
                yield Static(id="help-keys")
                yield Static(id="help-figures")

    def on_resize(self) -> None:
        """Wrap the words to the room there is."""
        self.call_after_refresh(self._wrap)

    def _wrap(self) -> None:
        keys, figures = (
            self.query_one("#help-keys", Static),
            self.query_one("#help-figures", Static),
        )
        # the scrollbar comes with the words
        width = max(self.query_one(VerticalScroll).size.width - 3, 40)
        keys.update(self._keys(width))
        figures.update(_figures(width, self.measures, self.metric))

    def action_scroll(self, step: int) -> None:
        """Scroll by a line."""
        self.query_one(VerticalScroll).scroll_relative(y=2 * step, animate=False)

    def _keys(self, width: int) -> Content:
        grouped: dict[str, tuple[list[str], str]] = {}
        for key, (node, binding, enabled, tooltip) in self.below.active_bindings.items():
            if not binding.id or not enabled or typed(self.below, key):
                continue
            if not offered(node, binding.action):
                continue
            keys, _ = grouped.setdefault(
                binding.id, ([], tooltip or binding.tooltip or binding.description)
            )
            keys.append(key_name(key))
        lines = [Content.styled("Keys here", "bold")]
        for _, (keys, text) in sorted(grouped.items(), key=lambda item: _place(item[0])):
            lines += _entry(" ".join(dict.fromkeys(keys)), text, 14, width)
        return Content("\n").join(lines)


def _figures(width: int, measures: Sequence[Measure], metric: words.MetricWords) -> Content:
    told = {
        "exact": ", ".join(f"its {measure.label}" for measure in measures if measure.exact),
        "measured": " and ".join(measure.name for measure in measures if not measure.exact),
        "figures": " ".join(filters.figure_names(measures)),
        "validated": metric.validated,
        "heading": metric.heading,
    }
    lines = [Content(""), Content.styled("Figures", "bold")]
    for name, meaning, formula in FIGURES:
        lines += _entry(name.format(**told), meaning.format(**told), 20, width)
        if formula:
            shown = formula.format(**told)
            lines.append(Content.assemble(" " * 22, (shown, "$foreground 60%")))
    return Content("\n").join(lines)


def _entry(name: str, text: str, indent: int, width: int) -> list[Content]:
    """A name, and its text wrapped beside it."""
    first, *rest = textwrap.wrap(text, max(width - indent - 2, 20))
    lines = [Content.assemble((f"  {name:<{indent}}", "bold $primary"), first)]
    return lines + [Content(" " * (indent + 2) + line) for line in rest]
