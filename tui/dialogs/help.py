"""What the keys do here, and what every figure means."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from ..widgets.keys import key_name
from .base import Dialog

FIGURES = (
    ("f", "the objective, smaller is better", "f = f_p + w_c · f_c"),
    ("f_p", "the error", "1 − best validation accuracy over the epochs"),
    ("f_c", "the complexity", "cost / cost of the reference network (trial 0)"),
    ("w_c", "how much complexity counts; 0 looks for accuracy alone", ""),
    ("μ f, σ f", "mean and standard deviation of the model's belief about f", ""),
    ("f*", "the incumbent: smallest posterior mean among the networks of this level", ""),
    ("EI", "expected improvement on f*", "(f* − μ) Φ(z) + σ φ(z),  z = (f* − μ) / σ"),
    ("by its mean", "the first term of EI; negative where μ > f*", "(f* − μ) Φ(z)"),
    ("by being unknown", "the second term of EI", "σ φ(z)"),
    ("acc", "predicted validation accuracy in percent", "100 · (1 − μ of f_p)"),
    ("s/ep", "predicted seconds of an epoch on this machine", "μ of f_c · seconds of trial 0"),
    (
        "within 2σ",
        "measurements within the prediction ± 2 predictive σ; 95 % if well calibrated",
        "",
    ),
    ("16 · 32↓ · 64⇣", "channels of each convolution; ↓ by stride, ⇣ by pooling", ""),
    ("k335 b110 g122", "kernel, batch norm and groups of each convolution", ""),
    ("c 64@.25 · @1 λ1e-4", "hidden units @ density of each classifier layer; weight decay", ""),
    ("lr 0.001 ×0.99 B128", "learning rate, its factor per epoch, batch size", ""),
    ("✓ ▲ ▼", "measured within 2σ of the prediction, worse than that, better than that", ""),
)


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

    def __init__(self, below: Screen[Any]) -> None:
        super().__init__()
        self.below = below

    def compose(self) -> ComposeResult:
        """Keys, figures."""
        with Vertical(classes="dialog tall wide") as box:
            box.border_title = "Help"
            box.border_subtitle = "esc closes"
            with VerticalScroll():
                yield Static(self._keys(), id="help-keys")
                yield Static(_figures(), id="help-figures")

    def action_scroll(self, step: int) -> None:
        """Scroll by a line."""
        self.query_one(VerticalScroll).scroll_relative(y=2 * step, animate=False)

    def _keys(self) -> Content:
        grouped: dict[str, tuple[list[str], str]] = {}
        for key, (_, binding, enabled, tooltip) in self.below.active_bindings.items():
            if not binding.id or not enabled:
                continue
            keys, _ = grouped.setdefault(
                binding.id, ([], tooltip or binding.tooltip or binding.description)
            )
            keys.append(key_name(key))
        lines = [Content.styled("Keys here", "bold")]
        for keys, text in grouped.values():
            shown = " ".join(dict.fromkeys(keys))
            lines.append(Content.assemble((f"  {shown:<18}", "bold $primary"), text))
        return Content("\n").join(lines)


def _figures() -> Content:
    lines = [Content(""), Content.styled("Figures", "bold")]
    for name, meaning, formula in FIGURES:
        lines.append(Content.assemble((f"  {name:<21}", "bold $primary"), meaning))
        if formula:
            lines.append(Content.assemble(" " * 23, (formula, "$foreground 60%")))
    return Content("\n").join(lines)
