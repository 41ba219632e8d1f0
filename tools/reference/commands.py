"""The page of commands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer

from tools.reference.text import anchor, code, one_line, page, paragraphs, table
from touchbook.cli.app import app
from touchbook.cli.exits import MEANING

INTRODUCTION = f"""
`touchbook COMMAND --help` says the same. Results go to stdout: a table on a terminal, plain lines of cells with tabs
between them elsewhere, JSON with `--json`. Messages and progress go to stderr.

{MEANING}
"""


def commands_page() -> str:
    found = list(commands("", typer.main.get_command(app)))
    overview = ((f"[`{name}`](#{anchor(name)})", _first_sentence(command.help)) for name, command in found)
    return page(
        "Commands",
        INTRODUCTION,
        table(("command", "what it does"), overview),
        *(_section(name, command) for name, command in found),
    )


def commands(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Every command that does something, by what is typed for it."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, one in inner.items():
        yield from commands(f"{path} {name}".strip(), one)


def _section(name: str, command: Any) -> str:
    shown = [one for one in command.params if one.name != "help" and not getattr(one, "hidden", False)]
    kinds = get_type_hints(command.callback)
    written = {one.name: _written(one, kinds[one.name]) for one in shown}
    arguments = "".join(f" {written[one.name]}" for one in shown if _is_argument(one))
    rows = ((code(written[one.name]), _default_of(one), _meaning(one)) for one in shown)
    return "\n".join(
        [
            f"## {name}\n",
            f"`touchbook {name}{arguments} [OPTIONS]`\n",
            f"{paragraphs(command.help)}\n",
            table(("argument or option", "default", "meaning"), rows),
        ]
    )


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
    return "" if parameter.default in (None, [], ()) else code(str(parameter.default))


def _meaning(parameter: Any) -> str:
    told = one_line(getattr(parameter, "help", None))
    variable = getattr(parameter, "envvar", None)
    return f"{told} Also `{variable}`." if variable else told


def _first_sentence(text: str | None) -> str:
    return paragraphs(text).split("\n")[0]
