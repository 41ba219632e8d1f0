"""How a command ends: one table from errors to exit codes, and one message that says what to do next.

0 done, 1 failed, 2 wrong use, 3 refused by the server, 4 unreachable; 130 interrupted.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterable
from typing import Any

import typer
from pydantic_core import ValidationError
from typer.core import TyperGroup

from touchbook.cli.output import say
from touchbook.errors import (
    JournalLocked,
    MappingInvalid,
    Refused,
    Rejected,
    ScorecardInvalid,
    ScorecardUnknown,
    TouchbookError,
)

DONE, FAILED, WRONG_USE, REFUSED, UNREACHABLE = range(5)

MEANING = "Exit codes: 0 done, 1 failed, 2 wrong use, 3 refused by the server, 4 unreachable."


class Failed(TouchbookError):
    """The command could not do what it was asked to; the message says why, and what to do."""

    code = "failed"


class WrongUse(TouchbookError):
    """Arguments that do not fit together or cannot be understood; the message names the option."""

    code = "wrong_use"


class RefusedByServer(TouchbookError):
    """The server answered, and said no. `status`, `code` and `said` are its own."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"the server refused this ({status} {code}): {message}")
        self.said = message
        self.status = status  # type: ignore[misc]
        self.code = code  # type: ignore[misc]


class Unreachable(TouchbookError):
    """No server answered."""

    code = "unreachable"

    def __init__(self, address: str, why: str) -> None:
        super().__init__(f"no Touchbook answers at {address} ({why}); check the address, and that it runs")


class Commands(TyperGroup):
    """The commands; whatever one of them raises ends as an exit code and a message, never as a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            code = code_of(error)
            if code is None:
                raise
            say(f"touchbook: {message_of(error)}")
            raise typer.Exit(code) from None


def code_of(error: Exception) -> int | None:
    """The exit code of an error; None for those that the command line itself knows how to end with."""
    match error:
        case WrongUse() | Rejected() | Refused() | ScorecardUnknown() | ValidationError():
            return WRONG_USE
        case RefusedByServer():
            return REFUSED
        case Unreachable():
            return UNREACHABLE
        case TouchbookError() | sqlite3.Error():
            return FAILED
        case OSError() if error.errno == errno.EPIPE:  # whoever read our output has enough
            return None
    return None if type(error).__module__.startswith(("typer", "click")) else FAILED


def message_of(error: Exception) -> str:
    """What to tell: the broken expectation and the next step. What an unexpected error says is left out, as it may
    quote a customer; its type and place are enough to report it."""
    match error:
        case JournalLocked():
            return f"{error}; what reads only works beside it"
        case ScorecardInvalid() | MappingInvalid():
            return f"{error}; correct the file and try again"
        case TouchbookError():
            return str(error)
        case ValidationError():
            return _settings(error)
        case sqlite3.OperationalError():
            advice = remedy_for(str(error)) or "check its disk, its owner and its rights"
            return f"the data directory cannot be used ({error}); {advice}"
        case OSError() if error.strerror:
            where = f" {error.filename}:" if error.filename else ""
            advice = remedy_for(error.strerror)
            return f"the operating system refuses:{where} {error.strerror}{advice and f'; {advice}'}"
    place = _place(error)
    return f"unexpected failure: {type(error).__name__} in {place}; please report this line"


def remedy_for(why: str) -> str:
    """What to do about the words of SQLite or the system; empty where they say nothing that we know."""
    for words, remedy in (
        (("full", "No space", "quota"), "free space there"),
        (("Read-only",), "its file system is mounted read-only: mount it for writing, or name another directory"),
        (("denied", "not permitted"), "give this user its owner or rights, or name another directory"),
        (("File exists", "Not a directory"), "a file stands where a directory should; name another directory"),
    ):  # fmt: skip
        if any(one in why for one in words):
            return remedy
    return ""


def _settings(error: ValidationError) -> str:
    """Every wrong setting and what was expected there, without the value that was given."""
    wrong = "; ".join(f"{_path(one['loc'])}: {one['msg']}" for one in error.errors(include_input=False))
    return f"these settings are not as expected: {wrong}. `touchbook config show` explains each"


def _path(steps: Iterable[int | str]) -> str:
    return ".".join(str(step) for step in steps)


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "an unknown place"
    return f"{trace.tb_frame.f_globals.get('__name__', '?')}, line {trace.tb_lineno}"
