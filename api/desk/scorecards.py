"""The scorecards page: what each score is made of, and a candidate tried on every customer before it counts."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml
from anyio.to_thread import run_sync
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from touchbook.api.desk.bars import Stretch, bar
from touchbook.api.desk.find import names_of
from touchbook.api.desk.pages import Desk
from touchbook.api.desk.score_words import (
    LESS_IS_BETTER,
    ORDER,
    Tier,
    line_words,
    part_words,
    signal_words,
    tier_of,
)
from touchbook.api.desk.scorecard_words import Line, limits_words, lines_of, standing_words, value_words
from touchbook.api.desk.visits import Visit
from touchbook.api.desk.words import Words
from touchbook.api.problems import log_failure
from touchbook.errors import ScorecardInvalid, TouchbookError
from touchbook.ledger import Day, day_of
from touchbook.marked_yaml import parsed
from touchbook.projections.backtest import back_test
from touchbook.schemas.display import Language
from touchbook.scorecard import Scorecard
from touchbook.scorecard_files import GROUPS_FILE, read_scorecards
from touchbook.scoring import LIMIT
from touchbook.wiring import Book

PATH = "/desk/scorecards"
NEW = "new"
"""What a candidate is called that stands beside no live score."""
LONGEST_CANDIDATE = 64 * 2**10
MOST_HALF_LIVES = 50_000
"""Days of all different half-lives of a candidate together: each makes a table of 21 times as many numbers."""
LONGEST_SECONDS = 120.0
TOLD_EVERY = 0.5
SHARE = 0.5
"""Of a core, for a back-test: the rest is for those who read and publish meanwhile."""
PING_SECONDS = 15
MOST_MOVES = 12
MOST_REASONS = 4
AROUND = 2
"""Lines shown before and after one that is wrong."""
LONGEST_LINE = 200


class TookTooLong(Exception):
    """A back-test reached the end of its time."""


class Abandoned(Exception):
    """Nobody waits for a back-test any more."""


@dataclass
class Run:
    """A back-test under way: how many customers it has seen, and in the end what it found or why it ended."""

    ended: Future[dict[str, Any] | Exception]
    abandoned: threading.Event
    customers: int = 0


class BackTests:
    """One back-test at a time, in a thread of its own."""

    def __init__(self, book: Book, longest: float = LONGEST_SECONDS, share: float = SHARE) -> None:
        self._book = book
        self.longest = longest
        self._pause = 1 / share - 1
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="back-test")
        self._free = threading.Lock()

    def begin(self, candidate: Scorecard, live: Scorecard | None, on: Day) -> Run | None:
        """None while another is under way."""
        if not self._free.acquire(blocking=False):
            return None
        run = Run(Future(), threading.Event())
        self._thread.submit(self._go, run, candidate, live, on)
        return run

    def _go(self, run: Run, candidate: Scorecard, live: Scorecard | None, on: Day) -> None:
        found: dict[str, Any] | Exception
        try:
            with self._book.projections.reading() as reader:
                found = back_test(reader, candidate, live, on, progress=self._watch(run))
        except Exception as error:  # whoever waits is told, whatever it was
            found = error
        self._free.release()
        run.ended.set_result(found)

    def _watch(self, run: Run) -> Callable[[int], None]:
        began = paged = time.monotonic()

        def progress(customers: int) -> None:
            nonlocal paged
            run.customers = customers
            if run.abandoned.wait((time.monotonic() - paged) * self._pause):
                raise Abandoned
            paged = time.monotonic()
            if paged - began > self.longest:
                raise TookTooLong

        return progress


def candidate_of(name: str, text: str, groups: str | None, signals: Collection[str]) -> Scorecard:
    """The candidate, read as a server reads its scorecards. Raises `ScorecardInvalid` with the line and what was
    expected there."""
    where = f"{name}.yaml"
    if len(text.encode()) > LONGEST_CANDIDATE:
        raise ScorecardInvalid(where, 1, f"expected at most {LONGEST_CANDIDATE // 1024} KiB")
    try:
        if sum(_half_lives(parsed(where, text).node)) > MOST_HALF_LIVES:
            raise ScorecardInvalid(
                where, 1, f"its different half-lives must add up to at most {MOST_HALF_LIVES} days"
            )
        texts = {where: text} if groups is None else {where: text, GROUPS_FILE: groups}
        return read_scorecards(texts, signals)[name]
    except RecursionError:
        raise ScorecardInvalid(where, 1, "it is nested too deeply; a scorecard has a few levels") from None


def _half_lives(node: yaml.Node) -> set[int]:
    found: set[int] = set()
    seen: set[int] = set()
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, yaml.SequenceNode):
            waiting += one.value
        elif isinstance(one, yaml.MappingNode):
            for key, value in one.value:
                waiting.append(value)
                if (
                    key.value == "half_life"
                    and isinstance(value, yaml.ScalarNode)
                    and value.value.isdecimal()
                ):
                    found.add(int(value.value[:6]))
    return found


@dataclass(frozen=True, slots=True)
class Texts:
    """The files that the live scorecards were read from."""

    book: Book

    def of(self, name: str) -> str | None:
        """As it stands there; None where there is none any more."""
        folder = self.book.settings.scorecards or resources.files("touchbook") / "scorecards"
        file = folder / f"{name}.yaml"
        return file.read_text("utf-8") if file.is_file() else None

    @property
    def groups(self) -> str | None:
        return self.of(GROUPS_FILE.removesuffix(".yaml"))


# What is shown


@dataclass(frozen=True, slots=True)
class PartShown:
    title: str
    limits: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class CardShown:
    """A scorecard in words. `tiers` are one bar of the values from 0 to 100, each with its least and its most."""

    name: str
    title: str
    description: str
    version: int
    fingerprint: str
    less_is_better: bool
    tiers: tuple[tuple[Stretch, int, int], ...]
    value: tuple[str, ...]
    standing: tuple[str, ...]
    parts: tuple[PartShown, ...]


def card_shown(card: Scorecard, words: Words) -> CardShown:
    language = words.language
    ends = [*(least for _, least in card.tiers[1:]), 101]
    widths: dict[str | None, int] = {
        name: end - least for (name, least), end in zip(card.tiers, ends, strict=True)
    }
    return CardShown(
        name=card.name,
        title=card.title[language],
        description=card.description[language],
        version=card.version,
        fingerprint=card.fingerprint[:8],
        less_is_better=card.name in LESS_IS_BETTER,
        tiers=tuple(
            (stretch, least, end - 1)
            for stretch, (_, least), end in zip(bar(card, widths, language), card.tiers, ends, strict=True)
        ),
        value=tuple(value_words(card, words)),
        standing=tuple(standing_words(card, words)),
        parts=tuple(
            PartShown(
                part_words(card.name, part.name, language),
                limits_words(part, words),
                tuple(lines_of(part, words, card.name in LESS_IS_BETTER)),
            )
            for part in card.parts
        ),
    )


@dataclass(frozen=True, slots=True)
class Moved:
    """One whose value rises or falls, which is `good` or not: where he stood and stands, and what made the difference,
    as (words, milli-points)."""

    customer: str
    name: str | None
    before: int
    after: int
    tier_before: Tier
    tier_after: Tier
    value: int
    milli_points: int
    good: bool
    reasons: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a back-test found, in words. `before` is empty where there is no live score beside the candidate."""

    found: Mapping[str, Any]
    title: str
    before: list[Stretch]
    after: list[Stretch]
    histogram: list[tuple[str, float, float]]
    moves: list[tuple[Tier, Tier, int]]
    more_moves: int
    winners: list[Moved]
    losers: list[Moved]


def outcome_of(
    found: Mapping[str, Any],
    candidate: Scorecard,
    live: Scorecard | None,
    names: Mapping[str, str | None],
    language: Language,
) -> Outcome:
    compared = live is not None
    before = _counts(found["before"]) if compared else None
    moves = [one for one in found.get("moves", ()) if one["from"] != one["to"]]
    moves.sort(key=lambda one: -one["customers"])
    beside = live or candidate

    def moved(one: Mapping[str, Any]) -> Moved:
        return Moved(
            one["customer"],
            names.get(one["customer"]),
            one["before"]["value"],
            one["after"]["value"],
            tier_of(beside.name, one["before"]["tier"]),
            tier_of(candidate.name, one["after"]["tier"]),
            one["value"],
            one["milli_points"],
            (one["milli_points"] < 0) == (candidate.name in LESS_IS_BETTER),
            tuple(
                (_reason_words(why, candidate, beside, language), why["milli_points"])
                for why in one["reasons"][:MOST_REASONS]
            ),
        )

    return Outcome(
        found=found,
        title=candidate.title[language],
        before=[] if before is None else bar(beside, before, language),
        after=bar(candidate, _counts(found["after"]), language, before),
        histogram=_histogram(found),
        moves=[
            (tier_of(beside.name, one["from"]), tier_of(candidate.name, one["to"]), one["customers"])
            for one in moves[:MOST_MOVES]
        ],
        more_moves=sum(one["customers"] for one in moves[MOST_MOVES:]),
        winners=[moved(one) for one in found.get("winners", ())],
        losers=[moved(one) for one in found.get("losers", ())],
    )


def _counts(side: Mapping[str, Any]) -> dict[str | None, int]:
    return {**side["tiers"], None: side["unknown"]}


def _histogram(found: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """For each ten values their name and how high the bars before and after stand, of 100."""
    sides = [found[side]["histogram"] for side in ("before", "after") if side in found]
    highest = max((one["customers"] for side in sides for one in side), default=0) or 1
    rows = []
    for place, after in enumerate(sides[-1]):
        before = sides[0][place]["customers"] if len(sides) == 2 else 0
        rows.append(
            (
                f"{after['from']}–{after['to']}",
                round(100 * before / highest, 1),
                round(100 * after["customers"] / highest, 1),
            )
        )
    return rows


def _reason_words(why: Mapping[str, Any], candidate: Scorecard, live: Scorecard, language: Language) -> str:
    """What the line is called that made the difference; its id where it has no words."""
    if why["component"] == LIMIT:
        return line_words(candidate.name, LIMIT, LIMIT, language) or LIMIT
    for card in (candidate, live):
        for part in card.parts:
            for one in part.components:
                if (part.name, one.id) == (why["part"], why["component"]):
                    said = line_words(card.name, one.id, one.kind, language)
                    return said or (
                        signal_words(one.signals[0], language) if len(one.signals) == 1 else one.id
                    )
    return str(why["component"])


# What is answered


@dataclass(frozen=True, slots=True)
class Asked:
    """A candidate as it was sent: beside which score, and its text."""

    beside: str
    text: str


class ScorecardPages:
    """Handlers of the page. One for each application."""

    def __init__(self, desk: Desk, back_tests: BackTests) -> None:
        self._desk = desk
        self._book = desk.book
        self._back_tests = back_tests

    def routes(self) -> list[Route]:
        return [
            self._desk.route(PATH, self.show),
            self._desk.route(f"{PATH}/backtest", self.back_test, ["POST"]),
        ]

    async def show(self, visit: Visit) -> Response:
        """`?score=` shows another than the first, `?candidate=` puts its text where a change of it is tried."""
        asked = visit.request.query_params
        name = asked.get("candidate") or asked.get("score") or self._names()[0]
        if name not in self._book.scorecards:
            raise HTTPException(404)
        text = await run_sync(self._text_of, name) if "candidate" in asked else None
        return self._page(visit, name, Asked(name, text or ""), opened=text is not None)

    async def back_test(self, visit: Visit) -> Response:
        """Checks the candidate, then tries it: what is told is streamed, so that it can say how far it is and ends when
        nobody waits any more. Who has no script waits for a whole page."""
        form = await visit.form()
        asked = Asked(form.get("beside", [""])[0], form.get("text", [""])[0].replace("\r\n", "\n"))
        if asked.beside != NEW and asked.beside not in self._book.scorecards:
            raise HTTPException(404)
        try:
            candidate = await run_sync(self._candidate, asked)
        except ScorecardInvalid as problem:
            return self._answer(visit, asked, "scorecards/problem.html", **_problem_shown(asked, problem))
        await run_sync(
            lambda: visit.audit("scorecard_tried", score=candidate.name, fingerprint=candidate.fingerprint)
        )
        live = self._book.scorecards.get(asked.beside)
        run = self._back_tests.begin(candidate, live, day_of(visit.now))
        if run is None:
            return self._answer(visit, asked, "scorecards/busy.html")
        if visit.fragment:
            return EventSourceResponse(self._stream(visit, run, candidate, live), ping=PING_SECONDS)
        try:
            template, fields = await self._told(visit, await asyncio.wrap_future(run.ended), candidate, live)
        finally:
            run.abandoned.set()
        return self._answer(visit, asked, template, **fields)

    async def _stream(
        self, visit: Visit, run: Run, candidate: Scorecard, live: Scorecard | None
    ) -> AsyncIterator[ServerSentEvent]:
        ended = asyncio.wrap_future(run.ended)
        try:
            while not (await asyncio.wait({ended}, timeout=TOLD_EVERY))[0]:
                text = self._desk.text(visit, "scorecards/running.html", customers=run.customers)
                yield ServerSentEvent(text)
            template, fields = await self._told(visit, ended.result(), candidate, live)
            yield ServerSentEvent(self._desk.text(visit, template, **fields))
        finally:
            run.abandoned.set()

    async def _told(
        self, visit: Visit, found: dict[str, Any] | Exception, candidate: Scorecard, live: Scorecard | None
    ) -> tuple[str, dict[str, Any]]:
        """The template that tells how a back-test ended, and its fields."""
        if isinstance(found, TookTooLong):
            return "scorecards/too_long.html", {"seconds": int(self._back_tests.longest)}
        if isinstance(found, Exception):
            known = isinstance(found, TouchbookError)
            return "scorecards/failed.html", {
                "sentence": str(found) if known else None,
                "id": None if known else log_failure(visit.request.scope, found),
            }
        moved = [one["customer"] for side in ("winners", "losers") for one in found.get(side, ())]
        names = await run_sync(names_of, self._book, moved) if visit.agent.role == "agent" else {}
        outcome = outcome_of(found, candidate, live, names, visit.language)
        return "scorecards/outcome.html", {"outcome": outcome}

    def _answer(self, visit: Visit, asked: Asked, template: str, **fields: Any) -> Response:
        if visit.fragment:
            return self._desk.page(visit, template, **fields)
        name = asked.beside if asked.beside in self._book.scorecards else self._names()[0]
        return self._page(visit, name, asked, opened=True, told=template, **fields)

    def _page(
        self, visit: Visit, name: str, asked: Asked, *, opened: bool, told: str = "", **fields: Any
    ) -> Response:
        cards = [card_shown(self._book.scorecards[one], visit.words) for one in self._names()]
        return self._desk.page(
            visit,
            "scorecards/page.html",
            cards=cards,
            card=next(card for card in cards if card.name == name),
            asked=asked,
            opened=opened,
            told=told,
            new=NEW,
            **fields,
        )

    def _names(self) -> list[str]:
        """The shipped scores as they stand everywhere, then a company's own."""
        names = self._book.scorecards
        return [one for one in ORDER if one in names] + sorted(set(names) - set(ORDER))

    def _candidate(self, asked: Asked) -> Scorecard:
        texts = Texts(self._book)
        return candidate_of(asked.beside, asked.text, texts.groups, self._book.catalogue.signals)

    def _text_of(self, name: str) -> str | None:
        return Texts(self._book).of(name)


def routes(desk: Desk) -> list[Route]:
    return ScorecardPages(desk, BackTests(desk.book)).routes()


def _problem_shown(asked: Asked, problem: ScorecardInvalid) -> dict[str, Any]:
    """What is wrong, with the lines around it: (number, text) each."""
    lines = asked.text.split("\n")
    first = max(problem.line - 1 - AROUND, 0)
    shown = [
        (number, text[:LONGEST_LINE])
        for number, text in enumerate(lines[first : problem.line + AROUND], first + 1)
    ]
    return {"problem": problem, "lines": shown, "elsewhere": problem.where == GROUPS_FILE}
