"""What a step of training does, by arithmetic: what its seconds are made of."""

from __future__ import annotations

from dataclasses import dataclass

from .layout import Convolution, Network, Norm, Shortcut

KINDS = (
    "step",
    "convolution",
    "norm",
    "shortcut",
    "classifier layer",
    "sparse layer",
    "plain MACs",
    "grouped MACs",
    "depthwise MACs",
    "classifier MACs",
    "image of a convolution",
    "taps",
    "elements",
    "normalised",
    "activated",
    "pooled",
    "parameters",
)
"""What a step has once: itself, calls, and the optimiser's work, which goes with the parameters;
and what every image has: multiply-accumulates by the kind of layer, the image itself once a
convolution, the numbers under its kernels (taps), and those of maps that layers read and write."""


@dataclass(frozen=True)
class Work:
    """Of each kind, in the order of `KINDS`: what a step has once, and what each of its images."""

    step: tuple[float, ...]
    image: tuple[float, ...]

    def of_image(self, steps: float) -> tuple[float, ...]:
        """How much an image takes of each.  steps: an image's share of a step."""
        return tuple(a * steps + b for a, b in zip(self.step, self.image, strict=True))


def work(network: Network) -> Work:
    """What a network does in a step."""
    step, image = dict.fromkeys(KINDS, 0.0), dict.fromkeys(KINDS, 0.0)
    step["step"] = 1.0
    step["parameters"] = network.params
    for layer in network.convolutions:
        height, width = layer.map_inside
        area, channels = height * width, layer.channels_in
        read = channels * layer.height_in * layer.width_in
        for done in layer.steps:
            if isinstance(done, Convolution):
                channels = done.channels_out
                out, into, kernel, _ = done.shape
                step["convolution"] += 1
                image["image of a convolution"] += 1
                image["taps"] += kernel**2 * into * done.groups * area
                image["elements"] += read + channels * area
                image[_kind(done)] += out * into * kernel**2 * area
                read = channels * area
            elif isinstance(done, Norm):
                step["norm"] += 1
                image["normalised"] += channels * area
            elif isinstance(done, Shortcut):
                step["shortcut"] += 1
                image["elements"] += done.numbers
            elif done == "pool":
                image["pooled"] += channels * area
                area = layer.height_out * layer.width_out
            else:
                image["activated"] += channels * area
    for dense in network.dense:
        sparse = dense.in_degree < dense.inputs
        step["sparse layer" if sparse else "classifier layer"] += 1
        image["classifier MACs"] += dense.macs
    return Work(tuple(step.values()), tuple(image.values()))


def _kind(convolution: Convolution) -> str:
    if convolution.depthwise:
        return "depthwise MACs"
    return "plain MACs" if convolution.groups == 1 else "grouped MACs"
