"""`touchbook timeline` and `touchbook score`: a customer as a data directory or a running server shows him."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import typer

from touchbook.cli.exits import WrongUse
from touchbook.cli.options import AsJson, Config, Data, Key, To, day_at, family_named, one_place, settings_of
from touchbook.cli.output import show_json, show_rows

if TYPE_CHECKING:
    from touchbook.cli.remote import Server
    from touchbook.projections.who import Customer
    from touchbook.wiring import Book

PAGE = 500
PERSONAL = ("email", "phone")
"""Identifiers that never stand in a URL: over HTTP they are looked up first."""

Ref = Annotated[
    str,
    typer.Argument(
        metavar="REF",
        help="A customer: a permanent id, or type:value, as user_id:42 or email:ann@example.test.",
    ),
]
Language = Literal["en", "ru"]
Query = dict[str, str | None]


class Shelf(Protocol):
    """Where customers are read: the same answers, in the API's own form, from a directory and from a server."""

    def timeline(
        self, query: Query, language: Language, limit: int, cursor: str | None
    ) -> dict[str, Any]: ...

    def scores(self, at: str | None) -> dict[str, Any]: ...

    def explain(self, name: str, query: Query) -> dict[str, Any]: ...


def timeline(
    ref: Ref,
    limit: Annotated[int, typer.Option(min=1, help="Most touchpoints to show.")] = 50,
    channel: Annotated[str | None, typer.Option(help="Only this channel.")] = None,
    family: Annotated[str | None, typer.Option(help="Only this family of types.")] = None,
    type_: Annotated[str | None, typer.Option("--type", help="Only this type.")] = None,
    thread: Annotated[str | None, typer.Option(help="Only this conversation, case or order.")] = None,
    direction: Annotated[
        Literal["in", "out", "internal"] | None, typer.Option(help="From the customer, to him, or neither.")
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="A time, or a day from its beginning.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="A time, exclusive, or a day to its end.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="In the words shown, or in any text of the data.")] = None,
    audience: Annotated[
        Literal["agent", "customer"], typer.Option(help="customer: only what he himself may see.")
    ] = "agent",
    language: Annotated[Language, typer.Option(help="The language of the words.")] = "en",
    cursor: Annotated[
        str | None, typer.Option(help="`next` of an earlier answer, to go on from there.")
    ] = None,
    data: Data = None,
    to: To = None,
    key: Key = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show what happened with a customer, newest first."""
    query = {
        "channel": channel,
        "family": family_named(family),
        "type": type_,
        "thread": thread,
        "direction": direction,
        "from": from_,
        "to": until,
        "text": text,
        "audience": audience,
    }
    with _shelf(ref, data, to, key, config) as shelf:
        found = _pages(shelf, query, language, limit, cursor)
    if as_json:
        show_json(found)
        return
    show_rows(
        ("when", "channel", "type", "what", "detail"),
        (
            (item["occurred_at"], item["channel"], item["type"], item["headline"], item["detail"])
            for item in found["items"]
        ),
    )


def score(
    ref: Ref,
    name: Annotated[
        list[str] | None, typer.Option(help="Only this score; may be repeated.", show_default="all")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="A UTC day, inclusive, as 2026-03-02.", show_default="today"),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="The lines each score is made of; as JSON one object per score.")
    ] = False,
    without: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="With --explain: the score had this touchpoint not counted."),
    ] = None,
    with_: Annotated[
        str | None,
        typer.Option(
            "--with", metavar="SIGNAL[:TOTAL]", help="With --explain: the score with one signal more."
        ),
    ] = None,
    data: Data = None,
    to: To = None,
    key: Key = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show a customer's scores, and why they are what they are."""
    if not explain and (without or with_):
        raise WrongUse("--without, --with: they belong to --explain")
    with _shelf(ref, data, to, key, config) as shelf:
        scores = shelf.scores(at)
        names = _named(scores["scores"], name)
        if explain:
            query = {"at": at, "without": without, "with": with_}
            _show_explanations([shelf.explain(one, query) for one in names], as_json)
            return
    scores["scores"] = {one: scores["scores"][one] for one in names}
    if as_json:
        show_json(scores)
        return
    show_rows(
        ("score", "value", "tier", "milli-points", "evidence"),
        (
            (one, of["value"], of["tier"], of["milli_points"], of["evidence"])
            for one, of in scores["scores"].items()
        ),
    )


def _pages(shelf: Shelf, query: Query, language: Language, limit: int, cursor: str | None) -> dict[str, Any]:
    """As many touchpoints as asked for, in one answer; `stream_from` is that of the first page."""
    found = shelf.timeline(query, language, min(limit, PAGE), cursor)
    while found["next"] and len(found["items"]) < limit:
        more = shelf.timeline(query, language, min(limit - len(found["items"]), PAGE), found["next"])
        found = {**found, "items": found["items"] + more["items"], "next": more["next"]}
    return found


def _named(scores: dict[str, Any], names: Sequence[str] | None) -> list[str]:
    if unknown := [name for name in names or () if name not in scores]:
        raise WrongUse(f"--name: no scorecard is named {unknown[0]!r}; there are: {', '.join(scores)}")
    return list(names or scores)


def _show_explanations(explanations: Sequence[dict[str, Any]], as_json: bool) -> None:
    for one in explanations:
        if as_json:
            show_json(one)
            continue
        score = one["score"]
        lines = [
            (score["name"], line["part"], line["component"], line["signal"], line["day"], line["count"], line["total"],
             line["milli_points"])
            for line in one["contributions"]
        ]  # fmt: skip
        lines.append((score["name"], "", "= all lines", "", "", "", "", score["milli_points"]))
        for what in ("without", "with"):
            if one[what]:
                lines.append((score["name"], "", what, "", "", "", "", one[what]["score"]["milli_points"]))
        show_rows(
            ("score", "part", "component", "signal", "day", "count", "total", "milli-points"),
            lines,
            title=f"{score['name']}: {score['value']} {score['tier'] or ''}",
        )


@contextmanager
def _shelf(
    ref: str, data: Path | None, to: str | None, key: str | None, config: Path | None
) -> Iterator[Shelf]:
    one_place(data, to)
    if to is not None:
        from touchbook.cli.remote import Server

        with Server(to, key) as server:
            yield _OnServer(server, ref)
        return
    from touchbook.cli.upkeep import caught_up, reading

    with reading(settings_of(config, data=data)) as book:
        caught_up(book)
        yield _InDirectory(book, ref)


class _OnServer:
    def __init__(self, server: Server, ref: str) -> None:
        from touchbook.cli.remote import segment

        kind, colon, value = ref.partition(":")
        if colon and kind in PERSONAL:
            ref = str(server.post("/v1/customers:lookup", {"type": kind, "value": value})["customer"])
        self._server = server
        self._path = f"/v1/customers/{segment(ref)}"

    def timeline(self, query: Query, language: Language, limit: int, cursor: str | None) -> dict[str, Any]:
        return self._server.get(
            f"{self._path}/timeline", {**query, "limit": limit, "cursor": cursor}, language
        )

    def scores(self, at: str | None) -> dict[str, Any]:
        return self._server.get(f"{self._path}/scores", {"at": at})

    def explain(self, name: str, query: Query) -> dict[str, Any]:
        from touchbook.cli.remote import segment

        return self._server.get(f"{self._path}/scores/{segment(name)}/explain", query)


class _InDirectory:
    def __init__(self, book: Book, ref: str) -> None:
        kind, colon, value = ref.partition(":")
        self._customers = book.customers
        self._customer: Customer = book.customers.lookup(kind, value) if colon else book.customers.find(ref)

    def timeline(self, query: Query, language: Language, limit: int, cursor: str | None) -> dict[str, Any]:
        from touchbook.api.parameters import moment
        from touchbook.timeline import TimelineFilters, named

        filters = TimelineFilters(
            channels=named(query["channel"]),
            families=named(query["family"]),
            types=named(query["type"]),
            thread=query["thread"],
            direction=query["direction"],
            from_at=moment("from", query["from"]),
            to_at=moment("until", query["to"], end=True),
            text=query["text"],
            audience="customer" if query["audience"] == "customer" else "agent",
        )
        return self._customers.timeline(self._customer, filters, cursor, limit, language)

    def scores(self, at: str | None) -> dict[str, Any]:
        return self._customers.scores(self._customer, day_at(at))

    def explain(self, name: str, query: Query) -> dict[str, Any]:
        return self._customers.explain(
            self._customer, name, day_at(query["at"]), query["without"], query["with"]
        )
