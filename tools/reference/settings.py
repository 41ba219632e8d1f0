"""The page of settings."""

from __future__ import annotations

from typing import Any

from tools.reference.text import page
from touchbook.settings import Settings

INTRODUCTION = """
Every setting of a server, and of the commands that open a data directory. A value is looked for in this order: the
command line (`touchbook serve --port 8751`), the environment (`TOUCHBOOK_PORT=8751`), the TOML file named by `--config`
or `TOUCHBOOK_CONFIG` (`port = 8751`), the default. `touchbook config show` tells which one counts and where it came
from. Those that are set most often have an option of [`touchbook serve`](commands.md#serve); the others are set in the
environment or the file. Sizes are bytes and understand units (`"4MiB"`), times are seconds unless the name says days;
lists and tables are JSON in the environment (`TOUCHBOOK_MAPPINGS='["shop.yaml"]'`).
"""


def settings_page() -> str:
    prefix = str(Settings.model_config["env_prefix"])
    defaults = Settings.model_construct().model_dump(mode="json")
    sections = (
        f"## {name}\n\n{field.description}\n\n`{prefix}{name.upper()}`, {_default(defaults[name])}.\n"
        for name, field in Settings.model_fields.items()
    )
    return page("Settings", INTRODUCTION, *sections)


def _default(value: Any) -> str:
    return "without a default" if value is None or value == [] else f"by default `{value}`"
