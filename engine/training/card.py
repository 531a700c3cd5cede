"""Writes MODEL.md: what a delivered network is, what it is worth, what it costs, how it is used."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence

from ...sessions.choices import Runtime
from ...sessions.records import matrix
from ...sessions.text import printable
from ..metric import wilson
from ..protocol import RESULT, FinalResult, eight_bits_lose
from ..tasks import cnn
from ..tasks.cnn.layout import ConvLayer
from ..tasks.measure import Measure
from ..tasks.task import blank_space
from .data.fit import WORDS
from .eight_bits import INT8
from .portable import ONNX, SOURCE
from .preparing import PREPARE

CARD = "MODEL.md"
CONFUSIONS = 10
"""That are told, the most frequent ones."""
RUNTIMES: Mapping[Runtime, str] = {"torch": "PyTorch", "onnx": "onnxruntime"}

_MARKS = re.compile(r"[\\`*_{}\[\]()<>#|&~$:@]|(?<=www)\.")

_USE = f"""## How it is used

Each from this folder.  With PyTorch and Pillow (`{SOURCE}`):

```python
from network import predict

name, probability = predict("photo.jpg")[0]  # all classes, the most probable first
```

From elsewhere, have Python look here first: `import sys; sys.path.insert(0, "this folder")`.

With lcsearch, files and whole folders, which runs nothing of what stands here:

```
lcsearch predict . photo.jpg
```
"""

_USE_ONNX = f"""
With onnxruntime, NumPy and Pillow (`{ONNX}`, `{PREPARE}`):

```python
import onnxruntime
from prepare import CLASSES, prepare

session = onnxruntime.InferenceSession("{ONNX}")
(logits,) = session.run(None, {{"images": prepare("photo.jpg")[None]}})
name = CLASSES[logits[0].argmax()]
```
"""


_USE_INT8 = f"""
`{INT8}` is used likewise, and by `lcsearch predict . photo.jpg --int8`.
"""


def escaped(text: str) -> str:
    """Somebody else's text as Markdown that shows it: nothing in it is a mark, a link or a line."""
    return _MARKS.sub(r"\\\g<0>", printable(text))


def code(text: str) -> str:
    """The same as code, in which nothing but the ends of it is a mark: a path reads as it is."""
    shown = printable(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    space = " " * (shown[:1] == "`" or shown[-1:] == "`")
    return f"{fence}{space}{shown}{space}{fence}"


def card(result: FinalResult, trained: str, measures: Sequence[Measure]) -> str:
    """The text of the file.

    trained: on which images, in words that follow "Trained".  measures: that costs are named by.
    """
    parts = [
        f"# {escaped(result.session)}, trial {result.trial}\n",
        _what(result, trained),
        _network(result),
        _images(result),
        _worth(result),
        _classes(result),
        _confusions(result),
        _costs(result, measures),
        _eight_bits(result),
        _USE,
        *([_USE_ONNX] if ONNX in result.files else []),
        *([_USE_INT8] if INT8 in result.files else []),
    ]
    return "\n".join(part for part in parts if part).replace("\n\n\n", "\n\n")


def _what(result: FinalResult, trained: str) -> str:
    size = ""
    if result.shape is not None:
        channels, height, width = result.shape
        colour = {1: "grey images", 3: "colour images"}.get(channels, f"{channels} channels")
        size = f" of {colour}, {width}x{height}"
    epochs = "1 epoch" if result.epochs == 1 else f"{result.epochs:,} epochs"
    return (
        f"A convolutional network that tells {len(result.classes):,} classes{size}.\n\n"
        f"Trained {trained}.  Data: {code(result.data.spec)} (fingerprint "
        f"{result.data_fingerprint[:16]}).  {epochs}, seed {result.seed}, augmentation "
        f"{result.augment}, weights of the loss {result.class_weights}{_trained_by(result)}, "
        f"{_seconds(result.seconds)} on {escaped(result.machine.processor)}.  Written by lcsearch "
        f"{result.lcsearch}; everything, the configuration too, is in `result.json`.\n"
    )


def _trained_by(result: FinalResult) -> str:
    """What of the configuration is of no layer, by its names: `, optimiser adamw, dropout 0.1`."""
    space = blank_space()
    config = space.read(result.config)
    alone = (p for p in space.parameters if p.length is None and p.level > 2)
    told = [(p.name, value) for p in alone for _, value in p.counting(config)]
    words = (
        (name.replace("_", " "), f"{value:g}" if isinstance(value, float) else value)
        for name, value in told
        if not name.endswith("_layers")
    )
    return "".join(f", {name} {value}" for name, value in words)


def _seconds(seconds: float) -> str:
    """A small network is trained in less than one."""
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:,.0f} s"


def _network(result: FinalResult) -> str:
    """The layers, as arithmetic lays them out."""
    if result.shape is None:
        return ""
    laid = cnn.network(result.config, result.shape, len(result.classes), result.features)
    lines = [
        f"| conv {number}, {conv.kernel}x{conv.kernel}{_how(conv)} | {conv.channels_in} → "
        f"{conv.channels_out} | {conv.height_out}x{conv.width_out} | {conv.params:,} | "
        f"{conv.macs:,} |"
        for number, conv in enumerate(laid.convolutions, start=1)
    ]
    height, width = laid.pooled
    lines.append(f"| average, flatten | | {height}x{width} | | |")
    for number, dense in enumerate(laid.dense, start=1):
        sparse = "" if dense.in_degree == dense.inputs else f", {dense.in_degree:,} inputs each"
        lines.append(
            f"| dense {number}{sparse} | {dense.inputs:,} → {dense.outputs:,} | | "
            f"{dense.params:,} | {dense.macs:,} |"
        )
    table = _table(("layer", "in → out", "map", "parameters", "MACs"), lines)
    return f"## The network\n\n{table}\nBehind every layer but the last: {laid.activation}.\n"


def _how(layer: ConvLayer) -> str:
    """What a convolutional layer has besides its kernel: `, stride 2, batch norm`."""
    told = {
        "separable": layer.separable,
        f"{layer.groups} groups": layer.groups > 1,
        "stride 2": layer.stride == 2,
        "batch norm": layer.batch_norm,
        "shortcut": layer.shortcut is not None,
        "pool": layer.pool,
    }
    return "".join(f", {name}" for name, has in told.items() if has)


def _images(result: FinalResult) -> str:
    """How an image becomes what the network takes, and where that is a guess."""
    if result.shape is None or result.levels is None:
        return ""
    channels, height, width = result.shape
    how = result.prepared
    colour = "grey" if channels == 1 else "colour"
    black, white = result.levels
    head = "## How an image is prepared\n\n"
    if how is None:
        return (
            f"{head}**The search read arrays and no image files.**  An image is made like them as "
            f"well as that can be said: turned by EXIF, {colour}, stretched to {width}x{height}, "
            f"black as {black:g} and white as {white:g}.  The figures below are of such arrays: a "
            "photo that looks otherwise (its framing, its background, light on dark for dark on "
            "light) may be told wrongly, however sure the answer is.\n"
        )
    return (
        f"{head}As the search made its own, pixel for pixel: turned by EXIF, what is transparent "
        f"laid over {escaped(how.background)}, {colour}, brought to {width}x{height} "
        f"({WORDS[how.fit]}), black as {black:g} and white as {white:g}.  Normalisation is part of "
        "the network.\n"
    )


def _worth(result: FinalResult) -> str:
    between = ""
    if result.test_interval is not None:
        between = f" (95 % interval {_interval(result.test_interval)})"
    words = (
        f"## What it is worth\n\n**{result.test_accuracy:.2%}** of {result.test_images:,} test "
        f"images are told right{between}.  The interval is Wilson's.\n{_looked_at(result)}"
    )
    if len(result.scores) > 1:
        mean, spread = statistics.mean(result.scores), statistics.stdev(result.scores)
        words += (
            f"\nTrained with {len(result.scores)} seeds, of which the first is this one: "
            f"{mean:.2%} on average, standard deviation {100 * spread:.2f} points.\n"
        )
    if result.metric != "accuracy":
        words += f"\nBy {result.metric}, which was searched for: {result.test_metric:.2%}.\n"
    return words


def _looked_at(result: FinalResult) -> str:
    """How often the test set was looked at, so that nobody takes a choice by it for a test."""
    if result.scored_before is None:  # what was written before did not count it
        return ""
    told = "\nThe test set was looked at once for each training, at its end.  "
    if result.scored_before == 0:
        return f"{told}Nothing of this session had been scored on it before.\n"
    count = result.scored_before
    trainings = "1 training" if count == 1 else f"{count:,} trainings"
    return (
        f"{told}{trainings} of this session had been scored on it before: whoever chose this "
        "network among them by its score has no test of it left.\n"
    )


def _interval(bounds: tuple[float, float]) -> str:
    low, high = bounds
    return f"{low:.1%} to {high:.1%}"


def _classes(result: FinalResult) -> str:
    """The recall of each class, with its interval where its images were counted."""
    images = [sum(row) for row in matrix(result.confusion)] or [0] * len(result.recalls)
    lines: list[str] = []
    for name, recall, of in zip(result.classes, result.recalls, images, strict=True):
        told, between = ("–", "–") if recall is None else (f"{recall:.1%}", "–")
        if recall is not None and of:
            between = _interval(wilson(round(recall * of), of))
        lines.append(f"| {escaped(name)} | {f'{of:,}' if of else '–'} | {told} | {between} |")
    if not lines:
        return ""
    return _table(("class", "test images", "told right", "95 % interval"), lines)


def _confusions(result: FinalResult) -> str:
    """The most frequent mistakes, each of so many images."""
    rows = matrix(result.confusion)
    mistakes = [
        (count, true, taken)
        for true, row in enumerate(rows)
        for taken, count in enumerate(row)
        if count and taken != true
    ]
    if not mistakes:
        return ""
    mistakes.sort(key=lambda mistake: (-mistake[0], mistake[1:]))
    lines = [
        f"- of {sum(rows[true]):,} images of {escaped(result.classes[true])}, {count:,} "
        f"({count / sum(rows[true]):.1%}) {'was' if count == 1 else 'were'} taken for "
        f"{escaped(result.classes[taken])}"
        for count, true, taken in mistakes[:CONFUSIONS]
    ]
    rest = [count for count, _, _ in mistakes[CONFUSIONS:]]
    if rest:
        pairs, images = (
            f"{n:,} {noun}{'s' * (n != 1)}"
            for n, noun in ((len(rest), "other pair"), (sum(rest), "image"))
        )
        lines.append(f"- and {pairs} of classes, {images} in all: `confusion` in `{RESULT}`")
    return "The most frequent mistakes:\n\n" + "\n".join(lines) + "\n"


def _costs(result: FinalResult, measures: Sequence[Measure]) -> str:
    lines = [
        f"| {measure.noun} | {result.costs[measure.name]:,.0f}{_unit(measure)} |"
        for measure in measures
        if measure.name in result.costs
    ]
    fastest = sorted(result.latencies.items(), key=lambda pair: pair[1])
    lines += [
        f"| latency by {RUNTIMES[runtime]} | {ms:.3g} ms an image |" for runtime, ms in fastest
    ]
    words = (
        "Sizes are those of float32 numbers.  Latency: of one image by one thread on "
        f"{escaped(result.machine.processor)}.\n"
    )
    return f"## What it costs\n\n{_table(('of', 'cost'), lines)}\n{words}"


def _eight_bits(result: FinalResult) -> str:
    """Both forms side by side: what int8 saves, and what it loses."""
    made = result.int8
    if made is None:
        return ""
    lines = [
        f"| test images told right | {result.test_accuracy:.2%} | {made.test_accuracy:.2%} |",
        f"| bytes of the file | {made.float_bytes:,} | {made.bytes:,} |",
        f"| bytes of the weights | {made.float_weight_bytes:,} | {made.weight_bytes:,} |",
        f"| latency by onnxruntime, ms an image | {made.float_latency:.3g} | {made.latency:.3g} |",
    ]
    if result.metric != "accuracy":
        own = f"| {result.metric} | {result.test_metric:.2%} | {made.test_metric:.2%} |"
        lines.insert(1, own)
    slower = ""
    if made.latency > made.float_latency:
        slower = "  **int8 is the slower one on this processor.**"
    processors = "runs right on any processor"
    if made.weight_bits == 8:
        processors = "can be less right on x86 processors without VNNI"
    return (
        f"## In eight bits\n\n{eight_bits_lose(made, result.metric)}.{slower}\n\n"
        f"{_table(('of', f'float32, `{ONNX}`', f'int8, `{INT8}`'), lines)}\n"
        f"Ranges are those of {made.calibration:,} training images.  Weights have "
        f"{made.weight_bits} bits, one range a channel: it {processors}.\n"
    )


def _unit(measure: Measure) -> str:
    """Where the noun does not say what is counted."""
    unit = " bytes" if measure.number == "bytes" else ""
    return f"{unit} an {measure.per}" if measure.per else unit


def _table(heads: Sequence[str], lines: Iterable[str]) -> str:
    right = ["---:" for _ in heads[1:]]
    return "\n".join([f"| {' | '.join(heads)} |", f"| {' | '.join(['---', *right])} |", *lines, ""])
