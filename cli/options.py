"""The options that several commands share, and the settings they make."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from touchbook.cli.exits import WrongUse

if TYPE_CHECKING:
    from touchbook.ledger import Day
    from touchbook.settings import Settings

CONFIG_VARIABLE = "TOUCHBOOK_CONFIG"

Data = Annotated[
    Path | None, typer.Option(metavar="DIR", help="The data directory.", show_default="touchbook-data")
]
Config = Annotated[
    Path | None, typer.Option(metavar="FILE", help=f"Settings in TOML; also {CONFIG_VARIABLE}.")
]
JournalAt = Annotated[
    str | None,
    typer.Option(
        metavar="kafka://HOST:PORT[,…]",
        help="The journal on Kafka.",
        show_default="SQLite in the data directory",
    ),
]
ProjectionsAt = Annotated[
    str | None,
    typer.Option(
        metavar="clickhouse://USER:PASSWORD@HOST:PORT/DATABASE",
        help="The projections in ClickHouse. With a password, TOUCHBOOK_PROJECTIONS keeps it out of the process list.",
        show_default="SQLite in the data directory",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON on stdout, and nothing else there.")]
To = Annotated[
    str | None, typer.Option(metavar="URL", help="Ask a running server instead of opening a data directory.")
]
Key = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        envvar="TOUCHBOOK_KEY",
        show_envvar=True,
        help="The access key for --to. The variable keeps it out of the process list.",
    ),
]


def family_named(family: str | None) -> str | None:
    """A family of types as it was given. Raises WrongUse for a word that is none: nothing would ever pass it."""
    if family is None:
        return None
    from touchbook.schemas.catalogue import CATALOGUE, Plain

    known = sorted({details.family for details in CATALOGUE.values()} | {Plain.family})
    if family not in known:
        raise WrongUse(f"--family: expected one of {', '.join(known)}")
    return family


def settings_of(config: Path | None, **given: Any) -> Settings:
    """The settings with what this command line gave on top; None means that it gave nothing."""
    from touchbook.settings import settings_from

    with _config_file(config):
        config_values()  # tells a missing or broken file apart from one that says nothing
        return settings_from(**given)


def config_values(config: Path | None = None) -> dict[str, Any]:
    """What the settings file says. Raises `WrongUse` where there is none or it is no TOML."""
    named = config or os.environ.get(CONFIG_VARIABLE)
    if not named:
        return {}
    try:
        return tomllib.loads(Path(named).read_text("utf-8"))
    except OSError as error:
        raise WrongUse(f"--config: {named} cannot be read ({error.strerror}); name a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrongUse(f"--config: {named} is not TOML: {error}") from None


@contextmanager
def _config_file(config: Path | None) -> Iterator[None]:
    """The settings look for their file in the environment alone, so for this moment it stands there."""
    before = os.environ.get(CONFIG_VARIABLE)
    if config is not None:
        os.environ[CONFIG_VARIABLE] = str(config)
    try:
        yield
    finally:
        if config is not None:
            os.environ.pop(CONFIG_VARIABLE)
            if before is not None:
                os.environ[CONFIG_VARIABLE] = before


def address(to: str, key: str | None) -> tuple[str, str]:
    """The server's address and the key, checked. Raises `WrongUse`."""
    from urllib.parse import urlsplit

    parts = urlsplit(to)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise WrongUse("--to: expected an address such as http://127.0.0.1:8750")
    if parts.username or parts.password:
        raise WrongUse("--to: expected an address without a name or password; the key goes into --key")
    if not key:
        raise WrongUse("--key: --to needs an access key; `touchbook keys create` makes one")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise WrongUse("--key: expected a key as `touchbook keys create` gave it")
    return to.rstrip("/"), key


def one_place(data: Path | None, to: str | None) -> None:
    """Raises `WrongUse` where a command is pointed at a directory and a server at once."""
    if data is not None and to is not None:
        raise WrongUse("--data, --to: expected one of them: a data directory or a running server")


def one_machine(settings: Settings, instead: str) -> None:
    """Raises `WrongUse` for a command that knows data directories of one machine alone, and says what to do instead."""
    if settings.journal is not None:
        raise WrongUse(f"journal: this works on one machine only; {instead}")


def day_at(text: str | None, option: str = "--at") -> Day:
    """The day of an option, or today. Raises `WrongUse`, which names it."""
    from touchbook.ledger import day_of
    from touchbook.schemas.times import day_number
    from touchbook.streams.now import now

    if text is None:
        return day_of(now())
    try:
        return day_number(text)
    except ValueError:
        raise WrongUse(f"{option}: expected a UTC day as YYYY-MM-DD") from None
