"""The command line as a whole: help, version, exit codes, what goes where."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

import touchbook
from tests.cli.commands import TOUCHBOOK, run
from tests.cli.conftest import Shop
from touchbook import errors
from touchbook.cli import exits
from touchbook.cli.app import app
from touchbook.cli.output import printable
from touchbook.streams.backends.sqlite import connect

SECRET = "ann@example.test"


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands(get_command(app)))


def test_every_promised_command_is_there() -> None:
    assert set(COMMANDS) == {
        ("demo",), ("serve",), ("publish",), ("timeline",), ("score",), ("rebuild",), ("digest",),
        ("set-aside", "list"), ("set-aside", "redrive"),
        ("keys", "create"), ("keys", "list"), ("keys", "revoke"), ("config", "show"),
        ("scorecard", "check"), ("scorecard", "backtest"), ("scorecard", "sql"), ("tail",), ("doctor",),
        ("erase",), ("backup",), ("restore",), ("work",), ("copy",), ("topics", "ensure"),
        ("audit", "verify"), ("audit", "list"), ("policy", "check"), ("policy", "simulate"),
    }  # fmt: skip


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_help_of_a_command_explains_every_option(path: tuple[str, ...]) -> None:
    result = run(*path, "--help", env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    assert result.exit_code == 0
    command = COMMANDS[path]
    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{parameter.name} has no help"
        for option in parameter.opts:
            shown = option if option.startswith("-") else parameter.metavar or option.upper()
            assert shown in result.stdout, f"{shown} is not in the help"


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_answers_in_json(path: tuple[str, ...]) -> None:
    assert any("--json" in parameter.opts for parameter in COMMANDS[path].params)


def test_the_help_names_the_exit_codes() -> None:
    shown = " ".join(run("--help", env={"COLUMNS": "200"}).stdout.split())
    assert exits.MEANING in shown


def test_the_version_is_that_of_the_package() -> None:
    assert run("--version").stdout == f"touchbook {touchbook.__version__}\n"


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("digest", "--nonsense"), ("keys", "nonsense"), ("publish",)]
)
def test_what_no_command_knows_is_wrong_use(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (exits.WRONG_USE, "")


def test_help_imports_nothing_heavy() -> None:
    heavy = (
        "fastapi",
        "uvicorn",
        "httpx",
        "cryptography",
        "prometheus_client",
        "phonenumbers",
        "touchbook.wiring",
    )
    program = f"""
import sys
from touchbook.cli.app import app
sys.exit(", ".join(name for name in {heavy!r} if name in sys.modules) or 0)
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


SERVING = ("fastapi", "starlette", "uvicorn", "faust", "kafka", "aiokafka", "clickhouse_driver")


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        (["timeline", "user_id:42"], SERVING),
        (["digest"], SERVING),
        (["keys", "list"], (*SERVING, "touchbook.wiring", "touchbook.schemas.touchpoints", "yaml")),
        (["audit", "verify"], (*SERVING, "touchbook.wiring", "touchbook.schemas.touchpoints", "yaml")),
        (["score", "42", "--to", "http://127.0.0.1:1", "--key", "k"], (*SERVING, "yaml", "rich", "pygments")),
    ],
)
def test_a_command_imports_nothing_that_it_does_not_need(
    arguments: list[str], unneeded: tuple[str, ...], shop: Shop
) -> None:
    program = f"""
import sys
from touchbook.cli import main
try:
    main()
finally:
    print(*(name for name in {unneeded!r} if name in sys.modules), file=sys.stderr)
"""
    where = () if "--to" in arguments else ("--data", shop.data)
    done = subprocess.run([sys.executable, "-c", program, *arguments, *where], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "", done.stderr


def test_a_reader_that_has_enough_is_no_failure_worth_a_traceback(tmp_path: Path) -> None:
    listing = subprocess.Popen(
        [*TOUCHBOOK, "config", "show"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert listing.stdout is not None
    assert listing.stderr is not None
    listing.stdout.close()
    err = listing.stderr.read()
    listing.wait(timeout=60)
    listing.stderr.close()
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (exits.Failed("no"), 1),
        (errors.NotATouchbook("dir"), 1),
        (errors.JournalLocked("dir"), 1),
        (errors.WrongMasterKey("file"), 1),
        (errors.CustomerUnknown(), 1),
        (errors.ScorecardInvalid("file", 1, "a name"), 1),
        (sqlite3.OperationalError("database or disk is full"), 1),
        (PermissionError(13, "Permission denied", "file"), 1),
        (KeyError(SECRET), 1),
        (ValueError(SECRET), 1),
        (exits.WrongUse("no"), 2),
        (errors.Refused(400, "role_invalid", "role: expected one"), 2),
        (errors.Rejected("identifier_invalid", "expected a number", "phone"), 2),
        (errors.ScorecardUnknown("charm", ["trust"]), 2),
        (exits.RefusedByServer(403, "role_not_allowed", "no"), 3),
        (exits.Unreachable("http://127.0.0.1:1", "ConnectError"), 4),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_every_error_ends_with_its_code_and_one_line_that_quotes_nobody(error: Exception, code: int) -> None:
    failing = typer.Typer(cls=exits.Commands, pretty_exceptions_enable=False)

    @failing.command()
    def fail() -> None:
        raise error

    @failing.command()
    def other() -> None:
        """A second one, so that the first needs its name."""

    result = CliRunner().invoke(failing, ["fail"])
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith("touchbook: ")
    assert result.stderr.count("\n") == 1
    assert SECRET not in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (sqlite3.OperationalError("database or disk is full"), "free space there"),
        (OSError(errno.ENOSPC, "No space left on device", "file"), "free space there"),
        (OSError(errno.EROFS, "Read-only file system", "file"), "mount it for writing"),
        (PermissionError(errno.EACCES, "Permission denied", "file"), "owner or rights"),
        (FileExistsError(errno.EEXIST, "File exists", "file"), "a file stands where a directory should"),
        (
            NotADirectoryError(errno.ENOTDIR, "Not a directory", "f/g"),
            "a file stands where a directory should",
        ),
    ],
)
def test_what_the_disk_or_the_system_refuses_comes_with_what_to_do(error: Exception, remedy: str) -> None:
    assert remedy in exits.message_of(error)


def test_sqlite_is_helped_to_say_what_it_may_not_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keyring.sqlite").mkdir()  # what cannot be opened, for root too
    with pytest.raises(sqlite3.OperationalError, match=r"unable to open database file$"):
        connect(tmp_path / "keyring.sqlite")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(sqlite3.OperationalError, match=r"file: keyring\.sqlite: Permission denied"):
        connect(tmp_path / "keyring.sqlite")


def test_what_is_unexpected_names_its_type_and_place() -> None:
    try:
        json.loads(SECRET)
    except ValueError as error:
        said = exits.message_of(error)
    assert "JSONDecodeError" in said
    assert "json.decoder, line" in said


def test_interrupted_is_neither_done_nor_failed() -> None:
    interrupted = typer.Typer(cls=exits.Commands)

    @interrupted.command()
    def wait() -> None:
        raise KeyboardInterrupt

    assert CliRunner().invoke(interrupted).exit_code == 130


def test_only_what_can_be_seen_is_printed() -> None:
    assert printable("Ёж\t\x1b[2J\u202e\n.") == "Ёж  [2J  ."
