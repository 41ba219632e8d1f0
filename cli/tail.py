"""`touchbook tail`: touchpoints as they come, of everybody in a data directory or of one customer anywhere."""

from __future__ import annotations

import json
import os
import re
import select
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import typer

from touchbook.cli.exits import RefusedByServer, Unreachable, WrongUse
from touchbook.cli.options import (
    AsJson,
    Config,
    Data,
    Key,
    To,
    family_named,
    one_machine,
    one_place,
    settings_of,
)
from touchbook.cli.output import say, show_json, show_line

if TYPE_CHECKING:
    from touchbook.cli.remote import Server
    from touchbook.projections.who import Customer
    from touchbook.timeline import Entry
    from touchbook.wiring import Book

Item = dict[str, Any]
Language = Literal["en", "ru"]

LOOK_SECONDS = 1.0
"""How often a process that waits looks whether anybody still reads what it writes."""
LOOK_BACK = 20_000
"""How many touchpoints of everybody are searched, from the newest backwards, for the last that filters let pass."""
RUN = 1_000
PAGE = 500
PUBLIC = (
    "key", "type", "family", "channel", "source", "direction", "occurred_at", "recorded_at", "position", "subject",
    "late",
)  # fmt: skip
"""What says nothing of a person: `subject` is a permanent id."""
EMPTY_QUOTES = re.compile(r"“ ?”|« ?»")


class Source(Protocol):
    """Where touchpoints come from, as items of the API's timeline."""

    def last(self, most: int) -> list[Item]:
        """The newest that pass the filters, the oldest of them first; `following` goes on behind them."""

    def following(self) -> Iterator[Item | None]:
        """What comes after, for ever; None now and then while nothing does."""


def tail(
    ref: Annotated[
        str | None,
        typer.Argument(
            metavar="[REF]",
            help="A customer, as user_id:42; everybody where absent. --to needs one.",
            show_default=False,
        ),
    ] = None,
    lines: Annotated[
        int, typer.Option("-n", "--lines", min=0, help="How many of the last to show first.")
    ] = 10,
    type_: Annotated[str | None, typer.Option("--type", help="Only this type.")] = None,
    channel: Annotated[str | None, typer.Option(help="Only this channel.")] = None,
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only what this source published.")
    ] = None,
    family: Annotated[str | None, typer.Option(help="Only this family of types.")] = None,
    since_position: Annotated[
        str | None,
        typer.Option(
            metavar="POSITION", help="Begin after this position instead of with the last ones; with --data."
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Go on as touchpoints come, or end after the last.")
    ] = True,
    show_data: Annotated[
        bool,
        typer.Option(
            "--show-data", help="Also what was said: personal data, on your screen and in your logs."
        ),
    ] = False,
    language: Annotated[Language, typer.Option(help="The language of the words.")] = "en",
    data: Data = None,
    to: To = None,
    key: Key = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show touchpoints as they come, beside a running server, until Ctrl-C.

    Without a REF those of everybody in a data directory, in the order of the journal; with --to the live stream of one
    customer, through restarts of the server. Lines say when, where and what kind, nothing personal without --show-data.
    --json writes one object a line.
    """
    wanted = {"type": type_, "channel": channel, "family": family_named(family), "source": source}
    with _source(ref, wanted, since_position, language, data, to, key, config) as found, _quietly_ended():
        for item in found.last(lines):
            _show(item, language, show_data, as_json)
        for come in found.following() if follow or since_position is not None else ():
            if come is not None:
                _show(come, language, show_data, as_json)
            elif not follow or _nobody_reads():
                return


@contextmanager
def _quietly_ended() -> Iterator[None]:
    """Ctrl-C, and a reader that has enough, are how this command is meant to end."""
    try:
        yield
    except KeyboardInterrupt:
        return
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # what is left is not flushed into the pipe


def _nobody_reads() -> bool:
    """Whether stdout is a pipe whose other end was closed: waiting for the next line would find out too late."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(events & select.POLLERR for _, events in poll.poll(0))
    except (OSError, ValueError):  # no real file at all
        return False


def _show(item: Item, language: Language, show_data: bool, as_json: bool) -> None:
    if as_json:
        kept = item if show_data else {name: item[name] for name in PUBLIC}
        show_json({**kept, "headline": item["headline"] if show_data else _kind(item, language)})
    elif show_data:
        show_line(item["occurred_at"], item["channel"], item["type"], item["headline"], item["detail"])
    else:
        show_line(item["occurred_at"], item["channel"], item["type"], _kind(item, language))


def _kind(item: Item, language: Language) -> str:
    """The words of a type, without anything that the touchpoint says."""
    from touchbook.schemas.catalogue import CATALOGUE
    from touchbook.schemas.display import MISSING
    from touchbook.timeline import SPECIAL

    if item["type"] in SPECIAL:
        return str(SPECIAL[item["type"]][language][0])
    if item["type"] not in CATALOGUE:
        return ""
    headline, _ = CATALOGUE[item["type"]].display.read({}, language)
    words = " ".join(headline.replace(MISSING, " ").split())
    return EMPTY_QUOTES.sub("", words).strip(" :,·")


@contextmanager
def _source(
    ref: str | None,
    wanted: dict[str, str | None],
    since: str | None,
    language: Language,
    data: Path | None,
    to: str | None,
    key: str | None,
    config: Path | None,
) -> Iterator[Source]:
    one_place(data, to)
    if to is not None:
        if ref is None:
            raise WrongUse("REF: --to follows one customer, as user_id:42; everybody is followed with --data")
        if since is not None:
            raise WrongUse(
                "--since-position: it belongs to --data; a server's stream begins with the last ones"
            )
        from touchbook.cli.remote import Server

        with Server(to, key) as server:
            yield _OnServer(server, ref, wanted, language)
        return
    from touchbook.cli.upkeep import reading

    after = None if since is None else _position(since)
    settings = settings_of(config, data=data)
    one_machine(settings, "follow a customer on a replica: touchbook tail REF --to URL --key KEY")
    with reading(settings) as book:
        if after is not None:
            _reached(book, after)
        if ref is None:
            yield _Everybody(book, wanted, after, language)
        else:
            yield _OneHere(book, ref, wanted, after, language)


def _position(token: str) -> int:
    from touchbook.positions import position_of

    try:
        return position_of(token)
    except ValueError:
        raise WrongUse("--since-position: expected a position as publishing or --json gave it") from None


def _reached(book: Book, after: int) -> None:
    """Raises WrongUse for a position that the journal has not reached: waiting for it would look like silence."""
    from touchbook.positions import token_of

    if after > (head := book.journal.head()):
        raise WrongUse(
            f"--since-position: this journal ends at {token_of(head)}; is it one of another journal?"
        )


class _Everybody:
    """Straight from the journal, so nothing waits for a projection; each record is read as the fold reads it."""

    def __init__(
        self, book: Book, wanted: dict[str, str | None], after: int | None, language: Language
    ) -> None:
        self._book = book
        self._wanted = {name: value for name, value in wanted.items() if value is not None}
        self._since = after
        self._position = book.journal.head() if after is None else after
        self._language = language

    def last(self, most: int) -> list[Item]:
        if self._since is not None or not most:
            return []
        found: deque[Item] = deque()
        newest = self._position
        while len(found) < most and newest > max(self._position - LOOK_BACK, 0):
            oldest = max(newest - RUN, 0)
            found.extendleft(reversed(self._items(oldest, newest)))
            newest = oldest
        if len(found) < most and newest:
            say(f"only the last {LOOK_BACK} touchpoints were searched")
        return list(found)[-most:]

    def following(self) -> Iterator[Item | None]:
        while True:
            head = self._book.journal.head()
            while self._position < head:
                upto = min(self._position + RUN, head)
                yield from self._items(self._position, upto)
                self._position = upto
            if not self._book.journal.wait_beyond(self._position, LOOK_SECONDS):
                yield None

    def _items(self, after: int, upto: int) -> list[Item]:
        from touchbook.positions import token_of
        from touchbook.projections.changes import entry_of
        from touchbook.timeline import item_of

        book, late_after = self._book, self._book.settings.late_after * 1000
        entries: list[Entry] = []
        while after < upto and (records := book.journal.read(after, upto - after)):
            entries += map(entry_of, book.folder.fold(records).entries)
            after = records[-1].position
        return [
            item_of(entry, self._language, late_after, token_of(entry.position))
            for entry in entries
            if all(getattr(entry, name) == value for name, value in self._wanted.items())
        ]


class _OneHere:
    """One customer in a data directory, as the server's own stream tells him."""

    def __init__(
        self, book: Book, ref: str, wanted: dict[str, str | None], after: int | None, language: Language
    ) -> None:
        from touchbook.cli.upkeep import caught_up
        from touchbook.projections.cursors import stream_token
        from touchbook.timeline import TimelineFilters, named

        caught_up(book)
        self._book, self._ref, self._language = book, ref, language
        self._source = wanted["source"]
        self._filters = TimelineFilters(
            channels=named(wanted["channel"]), families=named(wanted["family"]), types=named(wanted["type"])
        )
        self._token: str | None = (
            None if after is None else stream_token({0: after}, self._customer().membership)
        )

    def last(self, most: int) -> list[Item]:
        if self._token is not None:
            return []
        customer = self._customer()

        def page(cursor: str | None) -> dict[str, Any]:
            return self._book.customers.timeline(customer, self._filters, cursor, PAGE, self._language)

        found, self._token = _newest(page, most, self._source)
        return found

    def following(self) -> Iterator[Item | None]:
        from touchbook.cli.upkeep import caught_up

        assert self._token is not None, "the last ones are asked for first"
        journal = self._book.journal
        while True:
            seen = journal.head()
            caught_up(self._book)
            reload, self._token, items = self._book.customers.stream(
                self._customer(), self._token, self._filters, self._language
            )
            if reload:
                _say_reload()
            yield from (item for _, item in items if self._source in (None, item["source"]))
            if not items and not journal.wait_beyond(seen, LOOK_SECONDS):
                yield None

    def _customer(self) -> Customer:
        kind, colon, value = self._ref.partition(":")
        customers = self._book.customers
        return customers.lookup(kind, value) if colon else customers.find(self._ref)


class _OnServer:
    """One customer's live stream over HTTP. A connection that ends is made anew from the last event it brought."""

    def __init__(self, server: Server, ref: str, wanted: dict[str, str | None], language: Language) -> None:
        from touchbook.cli.reading import PERSONAL
        from touchbook.cli.remote import segment

        kind, colon, value = ref.partition(":")
        if colon and kind in PERSONAL:
            ref = str(server.post("/v1/customers:lookup", {"type": kind, "value": value})["customer"])
        self._server, self._language = server, language
        self._path = f"/v1/customers/{segment(ref)}/timeline"
        self._query = {name: value for name, value in wanted.items() if name != "source"}
        self._source = wanted["source"]
        self._token = ""

    def last(self, most: int) -> list[Item]:
        def page(cursor: str | None) -> dict[str, Any]:
            query = {
                **self._query,
                "limit": PAGE if self._source else min(max(most, 1), PAGE),
                "cursor": cursor,
            }
            return self._server.get(self._path, query, self._language)

        found, self._token = _newest(page, most, self._source)
        return found

    def following(self) -> Iterator[Item | None]:
        from touchbook.cli.remote import FIRST_PAUSE, LONGEST_PAUSE, TRY_AGAIN

        pause, silent = FIRST_PAUSE, False
        while True:
            try:
                for told in self._server.events(
                    f"{self._path}/stream", self._query, self._token, self._language
                ):
                    pause, silent = FIRST_PAUSE, False
                    yield self._heard(told)
            except (Unreachable, RefusedByServer) as error:
                if isinstance(error, RefusedByServer) and error.status not in TRY_AGAIN:
                    raise
                if not silent:
                    say(f"{error}; trying again until it does")
                silent = True
            yield None
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _heard(self, told: tuple[str, str, str] | None) -> Item | None:
        if told is None:
            return None
        event, id, data = told
        if event == "reload":
            _say_reload()
            return None
        self._token = id
        item: Item = json.loads(data)
        return item if self._source in (None, item["source"]) else None


def _newest(page: Any, most: int, source: str | None) -> tuple[list[Item], str]:
    """The newest of a timeline's pages that come from a source, the oldest first, and where its stream goes on."""
    first = shown = page(None)
    found: list[Item] = []
    while True:
        found += [item for item in shown["items"] if source in (None, item["source"])]
        if len(found) >= most or not shown["next"]:
            return found[:most][::-1], str(first["stream_from"])
        shown = page(shown["next"])


def _say_reload() -> None:
    say("other identifiers belong to this customer by now; what they brought with them is not shown")
