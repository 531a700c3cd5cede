"""What a convolutional network costs: one entry a measure."""

from __future__ import annotations

from ...objective import SECONDS, medians
from ..measure import BYTES, COUNTS, RATIO, Measure

MEASURES = (
    Measure(
        name=SECONDS,
        title="seconds per epoch",
        quantity="training time per epoch",
        unit="s",
        per="epoch",
        heading="s/ep",
        number="seconds",
        axis="seconds per epoch",
        from_epochs=medians,
        units=RATIO,
    ),
    Measure(
        name="params",
        title="parameters",
        unit="parameters",
        heading="params",
        number="count",
        axis="thousand parameters",
        scale=1e3,
        of=lambda network: network.params,
        units=COUNTS,
        informs=True,
    ),
    Measure(
        name="macs",
        title="multiply-accumulates",
        unit="MACs",
        per="image",
        heading="MACs",
        number="big",
        axis="million MACs",
        scale=1e6,
        of=lambda network: network.macs,
        units=COUNTS,
        informs=True,
    ),
    Measure(
        name="size",
        title="size",
        quantity="size of the deployed weights",
        unit="weights",
        heading="size",
        number="bytes",
        axis="KB of weights",
        scale=1e3,
        of=lambda network: network.size,
        units=BYTES,
    ),
    Measure(
        name="activations",
        title="activations",
        quantity="peak of the activations",
        unit="activations",
        heading="act",
        number="bytes",
        axis="KB of activations",
        scale=1e3,
        of=lambda network: network.activations,
        units=BYTES,
    ),
)
