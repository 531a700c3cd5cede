"""Shortcuts: an earlier map is added to a later one, and nothing is learnt by that."""

from __future__ import annotations

from torch import Tensor, nn


class Shortcut(nn.Module):
    """Adds an earlier map to this one.

    held: in which module of the network it is read first.  window: height and width of the pieces
    that it is averaged over, the last ones cut off where it ends; (1, 1) where it is no larger.
    missing: channels of zeros behind its own.
    """

    def __init__(self, held: int, window: tuple[int, int], missing: int) -> None:
        super().__init__()
        self.held, self.window, self.missing = held, window, missing

    def forward(self, maps: Tensor, earlier: Tensor) -> Tensor:
        """Shapes (n, channels, height, width) and (n, channels - missing, ...)."""
        if self.window != (1, 1):
            earlier = nn.functional.avg_pool2d(earlier, self.window, ceil_mode=True)
        if self.missing:
            earlier = nn.functional.pad(earlier, (0, 0, 0, 0, 0, self.missing))
        return maps + earlier


class Residual(nn.Sequential):
    """Modules one behind another, of which some add what an earlier one has read."""

    def forward(self, maps: Tensor) -> Tensor:
        """Shapes (n, channels, height, width) to (n, classes)."""
        last = {layer.held: at for at, layer in enumerate(self) if isinstance(layer, Shortcut)}
        kept: dict[int, Tensor] = {}
        for at, layer in enumerate(self):
            if at in last:
                kept[at] = maps
            given = (kept.pop(layer.held),) if isinstance(layer, Shortcut) else ()
            maps = layer(maps, *given)
        return maps
