"""`touchbook scorecard`: a candidate scorecard read strictly, tried on everybody, and said as SQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from touchbook.cli.exits import FAILED, Commands, WrongUse
from touchbook.cli.options import AsJson, Config, Data, JournalAt, ProjectionsAt, day_at, settings_of
from touchbook.cli.output import progress, say, show_json, show_rows

if TYPE_CHECKING:
    from touchbook.projections.backtest import Standing
    from touchbook.scorecard import Scorecard
    from touchbook.settings import Settings

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Try a scorecard before anybody is scored by it.")

File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="A scorecard, named after its score (loyalty.yaml). Groups are taken from groups.yaml beside it, or else "
        "from where the live scorecards are.",
    ),
]
At = Annotated[
    str | None,
    typer.Option(metavar="DAY", help="A UTC day, inclusive, as 2026-03-02.", show_default="today"),
]


@app.command()
def check(file: File, config: Config = None, as_json: AsJson = False) -> None:
    """Read a scorecard as the server would, and say what it would mean.

    Every line with the least and the most it can ever give, the range of the points, the tiers that nobody can reach,
    and the signals that no touchpoint gives. Ends with 1 where a server would refuse the file, naming line and column.
    """
    from touchbook.errors import ScorecardInvalid
    from touchbook.scorecard_meaning import meaning_of

    settings = settings_of(config)
    meaning: dict[str, Any] = {}
    try:
        meaning = meaning_of(_read(file, settings, strictly=False), _signals(settings))
        _read(file, settings, strictly=True)
    except ScorecardInvalid as error:
        wrong = {"file": error.where, "line": error.line, "column": error.column, "expected": error.expected}
        if as_json:
            show_json({"ok": False, "problem": wrong, **meaning})
        say(f"{error.where}:{error.line}:{error.column}: {error.expected}")
        if nobody := meaning.get("given_by_nobody"):
            say(
                f"signals that no touchpoint gives: {', '.join(nobody)}; GET /v1/schemas lists those there are"
            )
        raise typer.Exit(FAILED) from None
    if as_json:
        show_json({"ok": True, "problem": None, **meaning})
        return
    _show_meaning(meaning)


@app.command()
def backtest(
    file: File,
    at: At = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The live score to compare with.", show_default="the one of its name"
        ),
    ] = None,
    each: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Also write every customer's score before and after, as JSON lines."
        ),
    ] = None,
    data: Data = None,
    journal: JournalAt = None,
    projections: ProjectionsAt = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Try a scorecard on every customer, beside the live one of its name, without replaying anything.

    Who changes tier, how the values lie before and after, and the ten who gain and lose most with the reasons.
    Customers are named by their permanent ids. Works beside a running server and changes nothing; where none runs, what
    waits to be folded is folded first, as before every read. With --projections in ClickHouse that does the counting.
    """
    from touchbook.cli.upkeep import caught_up, reading
    from touchbook.projections.backtest import back_test

    settings = settings_of(config, data=data, journal=journal, projections=projections)
    on = day_at(at)
    candidate = _read(file, settings, strictly=True)
    with reading(settings) as book, _lines_into(each) as write, progress("scoring", "customers") as tell:
        live = book.scorecards.named(against) if against else book.scorecards.get(candidate.name)
        caught_up(book)
        with book.projections.reading() as reader:
            scoring = book.scoring and book.scoring(reader, candidate, live, on)
            found = back_test(
                reader, candidate, live, on, write, lambda done: tell(done, None, done), scoring
            )
    if as_json:
        show_json(found)
        return
    _show_back_test(found)


@app.command()
def sql(
    file: File,
    at: At = None,
    dialect: Annotated[
        Literal["sqlite", "clickhouse"], typer.Option(help="Whose SQL; ClickHouse from 18.16 on.")
    ] = "sqlite",
    tables: Annotated[
        bool,
        typer.Option(
            "--tables",
            help="Before it, make the tables it reads beside `ledger`: `decay`, and `members` from the data directory.",
        ),
    ] = False,
    data: Data = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Print a scorecard as one SQL statement over the ledger, equal to the scores to the last integer.

    It reads ledger (subject, signal, day, count, total), members (customer, subject) and decay (half_life, age,
    millionths). Try it with: touchbook scorecard sql FILE --tables --data DIR | sqlite3 DIR/$(cat
    DIR/projections.current)
    """
    from touchbook.scorecard_sql import DIALECTS, half_lives, sql_of

    settings, on = settings_of(config, data=data), day_at(at)
    card = _read(file, settings, strictly=True)
    statement = sql_of(card, on, DIALECTS[dialect])
    if as_json:
        show_json(
            {"score": card.name, "dialect": dialect, "statement": statement, "half_lives": half_lives(card)}
        )
        return
    if tables:
        for line in _tables(card, settings, dialect):
            typer.echo(line.encode())
    typer.echo(f"{statement};".encode())


TABLES = {
    "sqlite": (
        "CREATE TEMP TABLE decay (half_life INTEGER, age INTEGER, millionths INTEGER, PRIMARY KEY (half_life, age));",
        "CREATE TEMP TABLE members (customer TEXT, subject TEXT PRIMARY KEY);",
    ),
    "clickhouse": (
        "CREATE TABLE decay (half_life Int64, age Int64, millionths Int64) ENGINE = Memory;",
        "CREATE TABLE members (customer String, subject String) ENGINE = Memory;",
    ),
}
ROWS_A_STATEMENT = 500


def _tables(card: Scorecard, settings: Settings, dialect: str) -> Iterator[str]:
    from touchbook.cli.upkeep import reading
    from touchbook.projections.backtest import everybody
    from touchbook.scorecard_sql import decay_rows, half_lives

    decay, members = TABLES[dialect]
    yield decay
    yield from _inserts("decay", decay_rows(half_lives(card)))
    yield members
    with reading(settings) as book, book.projections.reading() as reader:
        people = (one for page in everybody(reader) for one in page)
        yield from _inserts("members", ((id, subject) for id, subjects in people for subject in subjects))


def _inserts(table: str, rows: Iterable[tuple[int | str, ...]]) -> Iterator[str]:
    """Permanent ids are hexadecimal digits, so there is nothing to escape."""
    rows = iter(rows)
    while some := list(islice(rows, ROWS_A_STATEMENT)):
        values = ", ".join(f"({', '.join(map(repr, row))})" for row in some)
        yield f"INSERT INTO {table} VALUES {values};"


# Reading


def _read(file: Path, settings: Settings, *, strictly: bool) -> Scorecard:
    """The scorecard in a file. `strictly` also refuses signals that no touchpoint gives, as a server does."""
    from touchbook.scorecard_files import GROUPS_FILE, read_scorecards

    texts = {file.name: _text(file)}
    if (groups := _groups_beside(file, settings)) is not None and file.name != GROUPS_FILE:
        texts[GROUPS_FILE] = groups
    cards = read_scorecards(texts, _signals(settings) if strictly else None)
    if len(cards) != 1:
        raise WrongUse(f"FILE: expected a scorecard, not {GROUPS_FILE}; name the file of one score")
    return next(iter(cards.values()))


def _groups_beside(file: Path, settings: Settings) -> str | None:
    from importlib import resources

    from touchbook.scorecard_files import GROUPS_FILE

    live = settings.scorecards or resources.files("touchbook") / "scorecards"
    for place in (file.parent / GROUPS_FILE, live / GROUPS_FILE):
        if place.is_file():
            return place.read_text("utf-8")
    return None


def _text(file: Path) -> str:
    from touchbook.errors import ScorecardInvalid

    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError:
        raise ScorecardInvalid(file.name, 1, "the file must be UTF-8") from None
    except OSError as error:
        raise WrongUse(f"FILE: {file} cannot be read ({error.strerror}); name a scorecard's file") from None


def _signals(settings: Settings) -> Collection[str]:
    from touchbook.wiring import catalogue_of

    return catalogue_of(settings).signals


@contextmanager
def _lines_into(file: Path | None) -> Iterator[Callable[[Standing], None]]:
    """Writes standings as JSON lines while the block runs; a file that is there already is left alone."""
    if file is None:
        yield lambda standing: None
        return
    try:
        out = file.open("x", encoding="utf-8")
    except FileExistsError:
        raise WrongUse(f"--each: {file} is there already; name a new file") from None
    with out:

        def write(standing: Standing) -> None:
            out.write(json.dumps(standing.to_json()) + "\n")

        yield write


# Showing


SETTINGS = (
    "weight", "half_life", "cap", "of", "unit", "min_age", "window", "max_days", "period", "max_periods", "swing",
    "prior", "from", "full", "last", "min_gaps", "default_gap", "floor_gap",
)  # fmt: skip


def _show_meaning(meaning: dict[str, Any]) -> None:
    show_rows(
        ("part", "line", "kind", "least", "most", "settings", "signals", "why"),
        [
            row
            for part in meaning["parts"]
            for line in part["components"]
            for row in _lines(part["part"], line)
        ],
        title=f"{meaning['name']} {meaning['version']}: the milli-points of each line",
    )
    ranges = [(f"part {one['part']}", one["milli_points"]) for one in meaning["parts"]]
    ranges += [("milli-points", meaning["milli_points"]), ("value", meaning["values"])]
    show_rows(("of", "least", "most"), [(name, one["least"], one["most"]) for name, one in ranges])
    if meaning["out_of_reach"]:
        say(f"no ledger reaches these tiers: {', '.join(meaning['out_of_reach'])}")


def _lines(part: str, line: dict[str, Any]) -> Iterator[tuple[object, ...]]:
    """A component; a balance with a row for each kind of evidence."""
    least, most = line["milli_points"].values()
    evidence = line.get("evidence", ())
    signals = "" if evidence else " ".join(line["signals"])
    yield part, line["id"], line["kind"], least, most, _settings(line), signals, line["why"]
    for one in evidence:
        side = next(side for side in ("good", "neutral", "bad") if side in one)
        told = f"weight={one[side]} {_settings(one)}"
        yield part, line["id"], side, "", "", told, " ".join(one["signals"]), one["why"]


def _settings(line: dict[str, Any]) -> str:
    return " ".join(f"{name}={line[name]}" for name in SETTINGS if name in line)


def _show_back_test(found: dict[str, Any]) -> None:
    sides = [side for side in ("before", "after") if side in found]
    version = found["candidate"]["version"]
    beside = f" beside {found['live']['score']} {found['live']['version']}" if found["live"] else ""
    title = f"{found['score']} {version}{beside}: {found['customers']} customers at {found['at']}"
    spread = {
        **{name: [found[side][name] for side in sides] for name in ("known", "unknown", "mean")},
        **{name: [found[side]["quantiles"][name] for side in sides] for name in found["after"]["quantiles"]},
        **{
            f"{bar['from']} to {bar['to']}": [found[side]["histogram"][place]["customers"] for side in sides]
            for place, bar in enumerate(found["after"]["histogram"])
        },
    }
    show = partial(show_rows, one_of_several=True)
    show(("value", *sides), [(name, *cells) for name, cells in spread.items()], title=title)
    tiers = list(dict.fromkeys(tier for side in sides for tier in found[side]["tiers"]))
    show(("tier", *sides), [(tier, *(found[side]["tiers"].get(tier, 0) for side in sides)) for tier in tiers])
    if found["signals_never_counted"]:
        say(f"nobody has been given these signals yet: {', '.join(found['signals_never_counted'])}")
    if not found["live"]:
        say("there is no live score of this name, so nothing is compared; --against names another")
        return
    show(
        ("from tier", "to tier", "customers"),
        [(move["from"] or "-", move["to"] or "-", move["customers"]) for move in found["moves"]],
    )
    show(("changed", "customers"), found["changed"].items())
    for who in ("winners", "losers"):
        show(
            (who, "value", "was", "is", "because"),
            [
                (
                    one["customer"],
                    f"{one['value']:+}",
                    one["before"]["value"],
                    one["after"]["value"],
                    ", ".join(f"{why['component']} {why['milli_points']:+}" for why in one["reasons"]),
                )
                for one in found[who]
            ],
        )
