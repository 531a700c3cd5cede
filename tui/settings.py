"""The settings file of the console: theme, keys and layout, kept as JSON."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..sessions.files import replace as write_whole

DEFAULT_THEME = "lcsearch-dark"
LAYOUTS = ("auto", "columns", "tabs")


class SettingsError(Exception):
    """A settings file or a setting that cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Settings:
    """What a person has set.

    theme: name of a Textual theme.  keys: binding id -> keys, separated by commas.  layout: how
    the workbench lays out its two columns; `auto` decides by the terminal's width.
    """

    theme: str = DEFAULT_THEME
    keys: dict[str, str] = field(default_factory=dict)
    layout: str = "auto"


def path() -> Path:
    """The settings file: in $LCSEARCH_HOME where that is set, else in the user's config folder."""
    home = os.environ.get("LCSEARCH_HOME")
    if home:
        return Path(home).expanduser() / "settings.json"
    from platformdirs import user_config_path

    return user_config_path("lcsearch") / "settings.json"


def load(file: Path) -> Settings:
    """The settings in `file`; the defaults where there is none.

    Raises SettingsError if the file is not readable as settings.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: cannot be read ({error}). Mend or delete it.") from error
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise SettingsError(
            f"{file}: line {error.lineno} is not JSON ({error.msg}). Mend or delete the file."
        ) from error
    if not isinstance(content, dict):
        raise SettingsError(f"{file}: must hold a JSON object. Mend or delete the file.")
    settings = Settings()
    for name, value in content.items():
        if name == "keys" and isinstance(value, dict):
            for binding, keys in value.items():
                settings = changed(settings, f"keys.{binding}", keys)
        else:
            settings = changed(settings, name, value)
    return settings


def save(file: Path, settings: Settings) -> None:
    """Write the settings whole or not at all.  Raises SettingsError if it cannot be done."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(settings), indent=2, ensure_ascii=False) + "\n"
        write_whole(file, text.encode())
    except OSError as error:
        raise SettingsError(f"{file}: cannot be written ({error}).") from error


def changed(settings: Settings, name: str, value: Any) -> Settings:
    """The settings with one of them changed: `theme`, `layout` or `keys.BINDING`.

    An empty value of a key brings its default back.  Raises SettingsError with what would do.
    """
    if name == "theme":
        if not isinstance(value, str) or not value:
            raise SettingsError(f"theme = {value!r}: must be a theme's name.")
        return replace(settings, theme=value)
    if name == "layout":
        if value not in LAYOUTS:
            raise SettingsError(f"layout = {value!r}: not possible. Use {', '.join(LAYOUTS)}.")
        return replace(settings, layout=value)
    if name.startswith("keys.") and len(name) > len("keys."):
        if not isinstance(value, str):
            raise SettingsError(f"{name} = {value!r}: must be keys, separated by commas.")
        keys = {k: v for k, v in settings.keys.items() if k != name[5:]}
        if value:
            keys[name[5:]] = value
        return replace(settings, keys=keys)
    raise SettingsError(f"{name} is no setting. Use theme, layout or keys.BINDING.")
