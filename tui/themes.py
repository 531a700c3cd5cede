"""The console's own themes: blue for belief, amber for what was measured; quiet all around."""

from textual.theme import BUILTIN_THEMES, Theme

DARK = Theme(
    name="lcsearch-dark",
    primary="#6cb2f5",
    secondary="#e8b465",
    accent="#6cb2f5",
    foreground="#d3d9e3",
    background="#12161d",
    surface="#12161d",
    panel="#1b212b",
    success="#7cc08a",
    warning="#e8b465",
    error="#e8787f",
    dark=True,
    variables={
        "block-cursor-background": "#26384d",
        "block-cursor-foreground": "#f2f5fa",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#1f2a38",
        "block-cursor-blurred-foreground": "#d3d9e3",
        "footer-background": "#1b212b",
    },
)

LIGHT = Theme(
    name="lcsearch-light",
    primary="#1f66b0",
    secondary="#a35f00",
    accent="#1f66b0",
    foreground="#242a33",
    background="#fbfbf9",
    surface="#fbfbf9",
    panel="#ececea",
    success="#23743a",
    warning="#8f5400",
    error="#b3261e",
    dark=False,
    variables={
        "block-cursor-background": "#cfe0f3",
        "block-cursor-foreground": "#10151c",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#e1e8f0",
        "block-cursor-blurred-foreground": "#242a33",
        "footer-background": "#ececea",
    },
)


def known() -> set[str]:
    """The names of all themes: our own and Textual's."""
    return {DARK.name, LIGHT.name, *BUILTIN_THEMES}
