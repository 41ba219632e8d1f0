"""Writes docs/reference/ anew from the code: `python -m tools.reference`. A test compares the two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer

from touchbook.cli.app import app
from touchbook.cli.exits import MEANING
from touchbook.settings import Settings

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
NOTE = "<!-- Written by `python -m tools.reference`; do not edit. -->\n"

COMMANDS = """# Commands

{note}
`touchbook COMMAND --help` says the same. Results go to stdout: a table on a terminal, plain lines of cells with tabs
between them elsewhere, JSON with `--json`. Messages and progress go to stderr.

{meaning}

| command | what it does |
|---|---|
{overview}

{commands}"""

SETTINGS = """# Settings

{note}
Every setting of a server, and of the commands that open a data directory. A value is looked for in this order: the
command line (`touchbook serve --port 8751`), the environment (`TOUCHBOOK_PORT=8751`), the TOML file named by `--config`
or `TOUCHBOOK_CONFIG` (`port = 8751`), the default. `touchbook config show` tells which one counts and where it came
from. Sizes understand units (`"4MiB"`); lists are JSON in the environment (`TOUCHBOOK_MAPPINGS='["shop.yaml"]'`).

| setting | variable | default | meaning |
|---|---|---|---|
{rows}
"""


def settings_page() -> str:
    prefix = str(Settings.model_config["env_prefix"])
    defaults = Settings.model_construct().model_dump(mode="json")
    rows = (
        row(f"`{name}`", f"`{prefix}{name.upper()}`", _default(defaults[name]), field.description or "")
        for name, field in Settings.model_fields.items()
    )
    return SETTINGS.format(note=NOTE, rows="\n".join(rows))


def commands_page() -> str:
    commands = list(_commands("", typer.main.get_command(app)))
    overview = (
        row(f"[`{name}`](#{_anchor(name)})", _first_sentence(command.help)) for name, command in commands
    )
    return COMMANDS.format(
        note=NOTE,
        meaning=MEANING,
        overview="\n".join(overview),
        commands="\n".join(_section(name, command) for name, command in commands),
    )


PAGES: dict[str, Callable[[], str]] = {"commands.md": commands_page, "settings.md": settings_page}


def row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _commands(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Every command that does something, by what is typed for it."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, one in inner.items():
        yield from _commands(f"{path} {name}".strip(), one)


def _section(name: str, command: Any) -> str:
    shown = [one for one in command.params if one.name != "help" and not getattr(one, "hidden", False)]
    kinds = get_type_hints(command.callback)
    written = {one.name: _written(one, kinds[one.name]) for one in shown}
    arguments = "".join(f" {written[one.name]}" for one in shown if _is_argument(one))
    lines = [f"## {name}\n", f"`touchbook {name}{arguments} [OPTIONS]`\n", f"{_paragraphs(command.help)}\n"]
    lines += ["| argument or option | default | meaning |", "|---|---|---|"]
    lines += [row(f"`{written[one.name]}`", _default_of(one), _meaning(one)) for one in shown]
    return "\n".join(lines) + "\n"


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _written(parameter: Any, kind: Any) -> str:
    if _is_argument(parameter):
        return str(parameter.metavar or parameter.name.upper())
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    return names if parameter.is_flag else f"{names} {parameter.metavar or _value_of(kind)}"


def _value_of(kind: Any) -> str:
    """What stands for the value of an option that has no word of its own for it."""
    for one in (kind, *get_args(kind)):
        if get_origin(one) is Literal:
            return "|".join(get_args(one))
        if one in (int, float):
            return "N"
    return "TEXT"


def _default_of(parameter: Any) -> str:
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    if parameter.required:
        return "required"
    if getattr(parameter, "is_flag", False):
        return ("on" if parameter.default else "off") if parameter.secondary_opts else ""
    return "" if parameter.default in (None, [], ()) else f"`{parameter.default}`"


def _meaning(parameter: Any) -> str:
    told = " ".join((getattr(parameter, "help", None) or "").split())
    variable = getattr(parameter, "envvar", None)
    return f"{told} Also `{variable}`." if variable else told


def _default(value: Any) -> str:
    return "" if value is None or value == [] else f"`{value}`"


def _paragraphs(text: str | None) -> str:
    return "\n\n".join(" ".join(part.split()) for part in (text or "").split("\n\n"))


def _first_sentence(text: str | None) -> str:
    return _paragraphs(text).split("\n")[0]


def _anchor(name: str) -> str:
    return name.replace(" ", "-")


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
