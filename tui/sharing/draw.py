"""What a chart shows, drawn for sharing: SVG and PNG by matplotlib, figures as CSV and JSON.

The console draws the same `Plot` in terminal cells, so what is shared is what was seen.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ...sessions.errors import Misuse, StoreError
from ...sessions.exchange import in_columns
from ...sessions.files import put
from ..plot import EDGES, VITAL, places

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

    from ..plot import Box, Figure, Mark, Plot


INCHES = (7.2, 4.3)
DOTS_PER_INCH = 160
KINDS = ("svg", "png", "csv", "json")
"""What a figure can be written as, by the file's ending."""
INKS: Mapping[str, str] = {
    "axis": "#9ca3af",
    "label": "#4b5563",
    "mean": "#2563eb",
    "band": "#2563eb",
    "bar": "#93b4f5",
    "whisker": "#6b7280",
    "trial": "#c2620a",
    "selected": "#111827",
    "front": "#047857",
    "faint": "#9ca3af",
    "believed": "#2563eb",
    "dim": "#d9a06b",
    "broken": "#c98a86",
    "limit": "#b91c1c",
    "forbidden": "#b91c1c",
    "text": "#111827",
    "paper": "#ffffff",
}
"""Colours by role, for white paper."""
VARIABLES: Mapping[str, str] = {
    role: f"#{number:06x}" for number, role in enumerate(INKS, start=0xFEDC01)
}
"""Stand-ins that `inline` changes for CSS variables, so that a page's own colours hold."""
_MARKERS = {
    "●": "o", "○": "o", "◆": "D", "•": "o", "★": "*", "■": "s", "✗": "x", "│": "",
    "▴": "^", "▾": "v", "▸": ">", "◂": "<",
}  # fmt: skip
_SIZES = {"•": 4.0, "★": 11.0, "◆": 6.5, "✗": 7.0}
THIN = ("faint", "front", "whisker", "believed", "limit")
"""Lines that are no curve of the figure."""
LABEL_POINTS = 8.0
"""The height of a mark's label, in points."""
LEGEND_WIDTH = 116
"""Characters of a legend's words and marks that stand side by side."""
_DIGIT = 0.64
"""Width of a digit of matplotlib's own font, in heights of the text."""


def kind_of(path: Path) -> str:
    """`svg`, `png`, `csv` or `json`, by the file's ending.  Raises Misuse for another one."""
    kind = path.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise Misuse(
            f"{path}: written as what? End the file's name with .svg, .png, .csv or .json."
        )
    return kind


def write(figure: Figure, path: Path) -> None:
    """Write a figure as what the file's ending says, whole or not at all.

    Raises Misuse for an unknown ending, StoreError where it cannot be written or drawn.
    """
    kind = kind_of(path)
    if kind == "csv":
        data = as_csv(figure).encode()
    elif kind == "json":
        data = as_json(figure).encode()
    else:
        data = picture(figure, kind, INKS)
    put(path, data)


def as_csv(figure: Figure) -> str:
    """The figure's numbers, one row a point."""
    return in_columns(figure.columns, figure.rows)


def as_json(figure: Figure) -> str:
    """The figure's numbers as a list of objects, with its words."""
    rows = [dict(zip(figure.columns, row, strict=True)) for row in figure.rows]
    whole = {"figure": figure.name, "title": figure.title, "x": figure.x, "y": figure.y}
    text = json.dumps({**whole, "rows": rows}, indent=2, ensure_ascii=False, allow_nan=False)
    return text + "\n"


def picture(figure: Figure, kind: str, inks: Mapping[str, str]) -> bytes:
    """The figure as SVG or PNG.  Raises StoreError where matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError as error:
        raise StoreError(
            "pictures are drawn by matplotlib, which is not installed. "
            "`pip install 'lcsearch[plots]'` installs it; .csv and .json need nothing."
        ) from error
    out = io.BytesIO()
    with matplotlib.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": figure.name,
            "font.size": 10.0,
            "text.parse_math": False,
        }
    ):
        drawing = _drawn(figure, inks)
        metadata = {"Date": None, "Creator": "lcsearch"} if kind == "svg" else {}
        drawing.savefig(out, format=kind, dpi=DOTS_PER_INCH, metadata=metadata)
    return out.getvalue()


def inline(figure: Figure) -> str:
    """The figure as an `<svg>` for an HTML page that sets `--axis`, `--label`, … as colours."""
    text = picture(figure, "svg", VARIABLES).decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for role, colour in VARIABLES.items():
        text = text.replace(colour, f"var(--{role})")
    # the page's own fonts and width; names that several pictures would share go
    text = re.sub(r"font(-family)?: ?([^;\"]*?)('[^;\"]*)", _font, text)
    text = re.sub(r'<g id="[A-Za-z]+[A-Za-z_]*\d*(_\d+)*">', "<g>", text)
    return re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', r'<svg role="img" \1>', text, count=1)


def _font(match: re.Match[str]) -> str:
    size = re.search(r"[\d.]+px", match.group(0))
    return "font-family: inherit" if size is None else f"font-size: {size.group(0)}"


def _drawn(figure: Figure, inks: Mapping[str, str]) -> Drawing:
    from matplotlib.figure import Figure as Canvas

    drawing = Canvas(figsize=INCHES, layout="constrained", facecolor=inks["paper"])
    axes = drawing.subplots()
    axes.set_facecolor(inks["paper"])
    axes.set_title(figure.title, loc="left", color=inks["text"], fontsize=11, fontweight="bold")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(inks["axis"])
    axes.tick_params(colors=inks["label"], labelsize=9, length=3)
    axes.set_xlabel(figure.x, color=inks["label"])
    axes.set_ylabel(figure.y, color=inks["label"])
    plot = figure.plot
    if plot is None:
        axes.set(xticks=[], yticks=[])
        axes.text(
            0.5, 0.5, figure.empty, ha="center", va="center", color=inks["label"],
            transform=axes.transAxes,
        )  # fmt: skip
        return drawing
    axes.set_xscale("log" if plot.x.log else "linear")
    axes.set_xlim(plot.x.low, plot.x.high)
    axes.set_ylim(plot.y.low, plot.y.high)
    axes.set_xticks([at for at, _ in plot.x.ticks], [text for _, text in plot.x.ticks])
    axes.minorticks_off()
    axes.set_yticks([at for at, _ in plot.y.ticks], [text for _, text in plot.y.ticks])
    axes.grid(axis="y", color=inks["axis"], alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    _contents(axes, plot, inks)
    legend = figure.legend
    if plot.outside:
        chars = "".join(char for char in EDGES if any(m.char == char for m in plot.marks))
        legend = (*legend, (chars[0], "label", f"{plot.outside} outside the picture"))
    _legend(axes, legend, inks)
    _labels(drawing, axes, plot.marks, inks)
    return drawing


def _contents(axes: Axes, plot: Plot, inks: Mapping[str, str]) -> None:
    for left, right, low, high in plot.forbidden:
        axes.fill_between(
            [left, right], low, high, color=inks["forbidden"], alpha=0.08, linewidth=0
        )
    if plot.band is not None:
        band = plot.band
        axes.fill_between(band.xs, band.low, band.high, color=inks["band"], alpha=0.18, linewidth=0)
    for bar in plot.bars:
        axes.bar(bar.x, bar.value - plot.y.low, bar.width, plot.y.low, color=inks["bar"])
        axes.vlines(bar.x, bar.low, bar.high, color=inks["whisker"], linewidth=1.4)
    for line in plot.lines:
        axes.plot(
            line.xs, line.ys, color=inks[line.ink], linestyle="--" if line.dashed else "-",
            linewidth=1.0 if line.ink in THIN else 1.7,
        )  # fmt: skip
    for mark in plot.marks:
        if mark.spread > 0:
            axes.vlines(
                mark.x, mark.y - mark.spread, mark.y + mark.spread, color=inks["whisker"],
                linewidth=1.0, alpha=0.7,
            )  # fmt: skip
        _point(axes, mark, inks)


def _point(axes: Axes, mark: Mark, inks: Mapping[str, str]) -> None:
    shape = _MARKERS.get(mark.char, "o")
    if shape:
        axes.plot(
            [mark.x], [mark.y], shape, color=inks[mark.ink], markersize=_SIZES.get(mark.char, 6.0),
            markerfacecolor=inks["paper"] if mark.char == "○" else inks[mark.ink],
            markeredgewidth=1.4, clip_on=False,
        )  # fmt: skip


def _labels(drawing: Drawing, axes: Axes, marks: Sequence[Mark], inks: Mapping[str, str]) -> None:
    """The labels beside their marks, on nothing else; the last mark's is the most important."""
    labelled = [mark for mark in reversed(marks) if mark.label.strip()]
    if not labelled:
        return
    drawing.draw_without_rendering()  # only now is it known where the axes lie
    points = 72 / drawing.dpi

    def at(mark: Mark) -> tuple[float, float]:
        x, y = axes.transData.transform((mark.x, mark.y)) * points
        return float(x), float(y)

    taken = []
    for mark in marks:
        if _MARKERS.get(mark.char, "o"):
            (x, y), half = at(mark), _SIZES.get(mark.char, 6.0) / 2 + 0.7
            taken.append((x - half, x + half, y - half, y + half))
    choices = []
    for mark in labelled:
        (x, y), width = at(mark), _DIGIT * LABEL_POINTS * len(mark.label.strip())
        choices.append([_beside(x, y, width, *offset) for offset in _OFFSETS])
    whole = axes.get_window_extent()
    # into the margins, but not to what is written there
    area = (
        whole.x0 * points - 6,
        whole.x1 * points + 4,
        whole.y0 * points,
        whole.y1 * points + 4,
    )
    for mark, place in zip(labelled, places(choices, taken, area, VITAL), strict=True):
        if place is None:
            continue
        across, up = _OFFSETS[place]
        axes.annotate(
            mark.label.strip(), (mark.x, mark.y), xytext=(across, up),
            textcoords="offset points", fontsize=LABEL_POINTS, color=inks["label"],
            ha="left" if across > 0 else "right" if across < 0 else "center",
            va="bottom" if up > 0 else "top" if up < 0 else "center",
        ).set_in_layout(False)  # fmt: skip


_OFFSETS = (
    (6.0, 3.0), (7.0, 0.0), (-6.0, 3.0), (-7.0, 0.0), (6.0, -3.0), (-6.0, -3.0), (0.0, 6.0),
    (0.0, -6.0), (12.0, 9.0), (-12.0, 9.0), (12.0, -9.0), (-12.0, -9.0),
)  # fmt: skip
"""Places of a label from its mark, in points to the right and up; the best first."""


def _beside(x: float, y: float, width: float, across: float, up: float) -> Box:
    left = x + across - (0 if across > 0 else width if across < 0 else width / 2)
    low = y + up - (0 if up > 0 else LABEL_POINTS if up < 0 else LABEL_POINTS / 2)
    return left, left + width, low, low + LABEL_POINTS


def _legend(axes: Axes, entries: Sequence[tuple[str, str, str]], inks: Mapping[str, str]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Line2D | Patch] = []
    for mark, role, text in entries:
        if mark == "band":
            handles.append(Patch(color=inks[role], alpha=0.18, linewidth=0, label=text))
        elif mark in ("-", "--"):
            style: Literal["-", "--"] = "-" if mark == "-" else "--"
            handles.append(Line2D([], [], color=inks[role], linestyle=style, label=text))
        else:
            filled = inks["paper"] if mark == "○" else inks[role]
            handles.append(
                Line2D(
                    [], [], color=inks[role], linestyle="", marker=_MARKERS[mark] or "|",
                    markersize=_SIZES.get(mark, 6.0), markerfacecolor=filled, label=text,
                )
            )  # fmt: skip
    if handles:
        # a legend wider than the axes would make them narrow
        columns = next(
            n
            for n in (4, 3, 2, 1)
            if n == 1 or n * max(len(text) + 7 for _, _, text in entries) <= LEGEND_WIDTH
        )
        axes.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(0, -0.16), ncols=columns,
            fontsize=8.5, frameon=False, labelcolor=inks["label"], borderaxespad=0,
        )  # fmt: skip
