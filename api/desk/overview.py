"""The desk's first page: who waits longest, what comes in, how customers are spread over the tiers, why they complain,
what was set aside, and how far readers are behind."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from datetime import datetime
from math import sqrt
from typing import Any

from anyio.to_thread import run_sync
from babel.dates import get_timezone_location
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from touchbook.api.desk.bars import Stretch, bar
from touchbook.api.desk.channel_words import channel_words
from touchbook.api.desk.matters import HOUR
from touchbook.api.desk.now import reason_words as contact_words
from touchbook.api.desk.now import target_words
from touchbook.api.desk.pages import Desk
from touchbook.api.desk.score_words import ORDER, Tier, tier_of
from touchbook.api.desk.visits import HOME, Visit
from touchbook.api.desk.words import Words
from touchbook.api.operators import PROJECTIONS
from touchbook.errors import SetAsideUnknown, TouchbookError
from touchbook.ledger import MILLISECONDS_A_DAY
from touchbook.policy import Owed, Policies, TimeKind
from touchbook.projections.overview import Became, Cause, HeldBack, Rate, Soon, Waiting
from touchbook.projections.watched import Response as Answered
from touchbook.projections.watched import Tiers
from touchbook.schemas.catalogue import CATALOGUE
from touchbook.schemas.display import Language
from touchbook.streams.admission import Outcome
from touchbook.streams.control import AsideGroup
from touchbook.wiring import Book

LIVE = f"{HOME}/live"
REDRIVE = "/desk/set-aside/redrive"
SEEN = "x-seen"
"""The header in which a page says what it shows already."""
MOST_WAITING = 8
MOST_CAUSES = 8
MOST_CHANNELS = 10
MOST_GROUPS = 12
MOST_SOON = 8
MOST_BECAME, LOOKED_AT_BECAME = 8, 200
MOST_REASONS = 8
AT_RISK = ("churn_risk", "critical")
"""Who comes into this tier of this score is in danger of leaving."""
MOST_AT_ONCE = 500
"""Items that one press tries again."""
REDRIVE_SECONDS = 30.0
SPARK_WIDTH, SPARK_HEIGHT, SPARK_MARGIN = 120, 24, 2
FLAT = 4
"""Touchpoints a minute below which a line does not fill its height: one more or less is no peak."""
ICONS = {
    "web": "globe",
    "website": "globe",
    "web_form": "globe",
    "web_shop": "shopping-bag",
    "shop": "store",
    "store": "store",
    "branch": "store",
    "email": "mail",
    "newsletter": "newspaper",
    "web_chat": "message-circle",
    "chat": "message-circle",
    "messenger": "message-circle",
    "sms": "message-circle",
    "phone": "phone",
    "mobile_app": "smartphone",
    "push": "smartphone",
    "ar": "rotate-3d",
    "vr": "rotate-3d",
    "video": "video",
    "webinar": "video",
    "marketplace": "shopping-bag",
    "helpdesk": "folder-open",
    "help_desk": "folder-open",
    "kiosk": "smartphone",
    "livestream": "video",
    "community": "message-circle",
    "social": "message-circle",
    "bot": "bot",
    "survey": "clipboard-check",
    "loyalty": "handshake",
    "desk": "sticky-note",
    "clock": "clock",
}
OTHER_ICON = "package"


@dataclass(frozen=True, slots=True)
class Request:
    """A line of the oldest unanswered requests. `tone`: bad beyond the target, warn once it is near."""

    waiting: Waiting
    tone: str
    target: int | None
    channel: str
    trust: Tier


@dataclass(frozen=True, slots=True)
class Late:
    """A line of the requests that are about to be late; warn where most of the time is gone."""

    soon: Soon
    tone: str
    channel: str
    target: str
    left: str


@dataclass(frozen=True, slots=True)
class Fallen:
    """A customer who came into a tier, and where he came from."""

    became: Became
    before: Tier
    day: str


@dataclass(frozen=True, slots=True)
class Kept:
    """Why messages were not sent, or put off; the widths are of 92, the most frequent reason."""

    words: str
    suppressed: int
    deferred: int
    change: int
    width: str
    width_deferred: str


@dataclass(frozen=True, slots=True)
class Speed:
    """How soon requests of one channel were answered; `share` is percent in target, None where none had one."""

    name: str
    icon: str
    n: int
    median: str
    p90: str
    share: int | None
    by_bot: int
    by_human: int
    open: int


@dataclass(frozen=True, slots=True)
class Line:
    """A channel with its last hour drawn."""

    rate: Rate
    name: str
    icon: str
    points: str


@dataclass(frozen=True, slots=True)
class Complaints:
    """Why so many complained; `width` is of 92, the most frequent cause."""

    words: str
    n: int
    change: int
    width: str


@dataclass(frozen=True, slots=True)
class Lag:
    """How far one projection is behind; `state` is empty, or what is the matter with it."""

    projection: str
    behind: int
    seconds: float | None
    tone: str
    state: str


@dataclass(frozen=True, slots=True)
class Sight:
    """All that the page shows."""

    waiting: Sequence[Waiting]
    rates: Sequence[Rate]
    tiers: Tiers | None
    counted: int
    causes: Sequence[Cause]
    soon: Sequence[Soon]
    became: Sequence[Became]
    held: Sequence[HeldBack]
    answered: Sequence[Answered]
    aside: int
    groups: Sequence[AsideGroup]
    sources: dict[str, int]
    lag: Sequence[Lag]
    unreadable: int

    @property
    def digest(self) -> str:
        """The same while the page would show the same."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


class OverviewPages:
    """Handlers of the page. One for each application."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._book = desk.book
        self._visible = Lately(desk.book)

    def routes(self) -> list[Route]:
        return [
            self._desk.route(HOME, self.show),
            self._desk.route(LIVE, self.live),
            self._desk.route(REDRIVE, self.redrive, ["POST"]),
        ]

    async def show(self, visit: Visit) -> Response:
        return await run_sync(self._page, visit, "overview/page.html")

    async def live(self, visit: Visit) -> Response:
        """The page's content, or nothing (204) where it would be what the page that asks shows already."""
        return await run_sync(self._live, visit)

    async def redrive(self, visit: Visit) -> Response:
        """Tries one group of what was set aside again, or all of a source; answers how many went through."""
        form = await visit.form()
        source, code, reason = (form.get(name, [""])[0] for name in ("source", "code", "reason"))
        return await run_sync(self._redrive, visit, source, (code, reason) if code else None)

    def _live(self, visit: Visit) -> Response:
        sight = self._sight(visit)
        if visit.request.headers.get(SEEN) == _shown(sight, visit):
            return Response(status_code=204)
        return self._page(visit, "overview/board.html", sight)

    def _redrive(self, visit: Visit, source: str, why: tuple[str, str] | None) -> Response:
        keys = self._book.control.keys_set_aside(source, why, MOST_AT_ONCE)
        if not keys:
            raise HTTPException(404)
        visit.audit("set_aside_redriven", source=source, code=why[0] if why else "all", items=str(len(keys)))
        redriven = redrive_all(self._book, keys)
        template = "overview/board.html" if visit.fragment else "overview/page.html"
        return self._page(visit, template, redriven=redriven, of=source)

    def _page(self, visit: Visit, template: str, sight: Sight | None = None, **fields: Any) -> Response:
        sight = sight or self._sight(visit)
        words, language = visit.words, visit.language
        return self._desk.page(
            visit,
            template,
            **{"redriven": None, "of": "", **fields},
            sight=sight,
            shown=_shown(sight, visit),
            place=_place_of(visit),
            requests=[request_of(one, visit.now, language, self._book.policies) for one in sight.waiting],
            soon=[soon_of(one, visit.now, words) for one in sight.soon],
            became=[_fallen(one, words) for one in sight.became[:MOST_BECAME]],
            became_all=len(sight.became),
            risk=self._risk(language),
            held=_held(sight.held[:MOST_REASONS], words),
            speeds=[_speed(one, words) for one in sight.answered[:MOST_CHANNELS]],
            more_waiting=len(sight.waiting) == MOST_WAITING,
            minute=sum(one.minute for one in sight.rates),
            lines=[_line(one, language) for one in sight.rates[:MOST_CHANNELS]],
            scores=self._scores(sight.tiers, language),
            causes=_causes(sight.causes, words),
            sources=_whole_sources(sight),
            reasons={one.code: reason_words(one.code, words) for one in sight.groups},
        )

    def _sight(self, visit: Visit) -> Sight:
        book, overview = self._book, self._book.overview
        return Sight(
            waiting=overview.waiting(MOST_WAITING),
            rates=overview.rates(visit.now, midnight_of(visit)),
            tiers=(tiers := overview.tiers()),
            counted=0 if tiers else overview.counted,
            causes=overview.causes(visit.now)[:MOST_CAUSES],
            soon=overview.soon_late(visit.now, MOST_SOON),
            became=overview.became(*AT_RISK, visit.now, LOOKED_AT_BECAME),
            held=overview.held_back(visit.now),
            answered=overview.response(visit.now),
            aside=book.control.count_set_aside(),
            groups=book.control.groups_set_aside(MOST_GROUPS),
            sources=book.control.sources_set_aside(),
            lag=lag_of(book, self._visible.seconds(), visit.words),
            unreadable=book.follower.unreadable,
        )

    def _risk(self, language: Language) -> tuple[str, str, Tier]:
        """The score and tier of `AT_RISK`, in words."""
        score, tier = AT_RISK
        card = self._book.scorecards.get(score)
        return score, tier if card is None else card.title[language], tier_of(score, tier)

    def _scores(self, tiers: Tiers | None, language: Language) -> list[tuple[str, str, list[Stretch]]]:
        """The shipped scores as they stand everywhere, then a company's own."""
        if tiers is None:
            return []
        cards = self._book.scorecards
        return [
            (name, cards[name].title[language], bar(cards[name], tiers.scores[name], language))
            for name in in_order(cards)
        ]


def in_order(names: Iterable[str]) -> list[str]:
    """Scores as they stand everywhere, a company's own after those that ship with us."""
    known = set(names)
    return [one for one in ORDER if one in known] + sorted(known - set(ORDER))


def routes(desk: Desk) -> list[Route]:
    return OverviewPages(desk).routes()


# Set aside


@dataclass(frozen=True, slots=True)
class Redriven:
    """What became of items that were tried again. `failed` were not settled: the same press tries them once more."""

    tried: int
    through: int
    rejected: int
    failed: int


def redrive_all(book: Book, keys: Sequence[str]) -> Redriven:
    """Tries these again, each with its own id and the time it was first received. What somebody else is redriving at
    the same moment goes through once."""
    asked: list[Future[Outcome]] = []
    failed = gone = 0
    for key in keys:
        try:
            asked.append(book.admission.redrive(key))
        except SetAsideUnknown:
            gone += 1
        except TouchbookError:  # the journal takes no more just now
            failed += 1
    done, not_done = wait_for(asked, REDRIVE_SECONDS)
    outcomes = [one.result().outcome for one in done if one.exception() is None]
    rejected = outcomes.count("rejected")
    return Redriven(
        tried=len(keys) - gone,
        through=len(outcomes) - rejected,
        rejected=rejected,
        failed=failed + len(not_done) + len(done) - len(outcomes),
    )


def _whole_sources(sight: Sight) -> list[tuple[str, int]]:
    """Sources with several reasons, all of which can be tried at once; where there is none, the one with the most."""
    counted = [source for source in sight.sources if sum(one.source == source for one in sight.groups) > 1]
    largest = [source for source, items in sight.sources.items() if items > 1][:1]
    return [(source, sight.sources[source]) for source in (counted or largest)]


def reason_words(code: str, words: Words) -> str | None:
    """Why something was set aside; None where its own reason has to do."""
    _ = words.gettext
    return {
        "actor_not_public": _("not the customer’s own doing, from a page"),
        "amount_too_large": _("amount too large"),
        "anonymous_id_missing": _("no anonymous id, from a page"),
        "anonymous_id_not_one": _("several anonymous ids, from a page"),
        "channel_invalid": _("unfit channel name"),
        "data_not_json": _("data is no JSON"),
        "event_expected": _("no event"),
        "header_invalid": _("unfit header"),
        "header_repeated": _("header given twice"),
        "id_invalid": _("unfit id"),
        "id_missing": _("no id and no time"),
        "id_reused": _("same id, other content"),
        "id_too_long": _("id too long"),
        "identifier_invalid": _("unfit identifier"),
        "identifier_missing": _("no identifier"),
        "identifier_unknown": _("unknown customer"),
        "internal_error": _("this version cannot read it"),
        "item_too_large": _("item too large"),
        "json_invalid": _("no valid JSON"),
        "object_expected": _("no JSON object"),
        "source_invalid": _("unfit source name"),
        "source_mismatch": _("another source than its key’s"),
        "source_reserved": _("a source that is our own"),
        "source_taken": _("source belongs to web pages"),
        "specversion_unknown": _("unknown event format"),
        "text_expected": _("text is missing"),
        "time_invalid": _("unfit time"),
        "time_out_of_range": _("time too far off"),
        "time_without_zone": _("time without a zone"),
        "type_invalid": _("unfit type name"),
        "type_not_for_agents": _("type not for agents"),
        "type_not_public": _("type not for pages"),
        "type_reserved": _("a type that only we record"),
        "type_unknown": _("unknown type"),
        "unstorable": _("cannot be stored"),
        "version_unknown": _("unknown version of its type"),
    }.get(code)


# Lag


class Lately:
    """How long it took of late from recorded to visible, told from what the metrics count."""

    def __init__(self, book: Book) -> None:
        self._metrics = book.metrics
        self._guard = threading.Lock()
        self._counted: tuple[float, float] = (0.0, 0.0)
        self._seconds: float | None = None
        self._asked = 0.0

    def seconds(self) -> float | None:
        """On average since it was last asked, but at least a second ago; the last known where nothing came since."""
        with self._guard:
            if time.monotonic() - self._asked < 1:
                return self._seconds
            self._asked = time.monotonic()
            total, count = self._read()
            if count > self._counted[1]:
                seconds = (total - self._counted[0]) / (count - self._counted[1])
                self._seconds, self._counted = round(seconds, 2), (total, count)
            return self._seconds

    def _read(self) -> tuple[float, float]:
        found = {
            sample.name: sample.value
            for family in self._metrics.collect()
            if family.name == "touchbook_visible_seconds"
            for sample in family.samples
        }
        return found["touchbook_visible_seconds_sum"], found["touchbook_visible_seconds_count"]


BEHIND_SECONDS = 5.0
"""From so many seconds on being behind is worth a mark."""


def lag_of(book: Book, seconds: float | None, words: Words) -> list[Lag]:
    """Of each projection: on one machine how long it takes until it shows what was recorded, of a replica how old what
    it shows may be."""
    follower = book.follower
    _ = words.gettext
    if book.staleness is not None:
        seconds = round(book.staleness(), 2)
    tone = state = ""
    if follower.stopped_because is not None or not follower.alive:
        tone, state = "bad", _("stands still")
    elif follower.failing_because is not None:
        tone, state = "bad", _("its store fails")
    elif book.rebuild_failed is not None:
        tone, state = "bad", _("could not be rebuilt")
    elif book.rebuilding:
        tone, state = "warn", _("being rebuilt")
    elif follower.lag and (seconds or 0) >= BEHIND_SECONDS:
        tone = "warn"
    return [Lag(_projection(name, words), follower.lag, seconds, tone, state) for name in PROJECTIONS]


def _projection(name: str, words: Words) -> str:
    _ = words.gettext
    return {
        "entries": _("entries"),
        "ledger": _("ledger"),
        "registers": _("registers"),
        "claims": _("links"),
    }[name]


# Words and drawings


def midnight_of(visit: Visit) -> int:
    """When the day began at the desk."""
    today = datetime.fromtimestamp(visit.now / 1000, visit.zone).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    return int(today.timestamp() * 1000)


def _place_of(visit: Visit) -> str | None:
    """The city that the desk's zone is named after, in the agent's language; None for one without."""
    if "/" not in visit.zone.key or visit.zone.key.startswith("Etc/"):
        return None
    return get_timezone_location(visit.zone.key, locale=visit.language, return_city=True)


def _shown(sight: Sight, visit: Visit) -> str:
    """What a page shows, time and language included."""
    minute = visit.now // 60_000
    return f"{sight.digest}.{minute:x}.{visit.language}"


def request_of(one: Waiting, now: int, language: Language, policies: Policies) -> Request:
    owed = policies.at(one.since).owed(one.channel, one.purpose, one.since)
    due = None if owed is None else owed.due
    return Request(
        one, _tone(one.since, due, now), due, channel_words(one.channel, language), tier_of("trust", one.tier)
    )


def _tone(since: int, due: int | None, now: int) -> str:
    if due is None:
        return ""
    return "bad" if now > due else "warn" if now - since > min((due - since) / 3, HOUR) else ""


def soon_of(one: Soon, now: int, words: Words) -> Late:
    turn = one.turn
    assert turn.late_at is not None  # else it is never late
    assert turn.target is not None
    time: TimeKind = "working" if turn.target_time == "working" else "calendar"
    owed = Owed(turn.target, time, turn.late_at, turn.ignored_at or turn.late_at)
    return Late(
        one,
        _tone(turn.opened_at, turn.late_at, now),
        channel_words(turn.channel, words.language),
        target_words(owed, words),
        words.gettext("in %(time)s", time=words.duration(turn.late_at - now)),
    )


def _fallen(one: Became, words: Words) -> Fallen:
    change = one.change
    day = words.day_short(change.day * MILLISECONDS_A_DAY + MILLISECONDS_A_DAY // 2)
    return Fallen(one, tier_of(change.score, change.before.tier), day)


def _held(held: Sequence[HeldBack], words: Words) -> list[Kept]:
    most = max((one.suppressed + one.deferred for one in held), default=0) or 1
    return [
        Kept(
            _capital(contact_words(one.reason, words)),
            one.suppressed,
            one.deferred,
            one.suppressed + one.deferred - one.before,
            f"{92 * one.suppressed / most:.1f}",
            f"{92 * one.deferred / most:.1f}",
        )
        for one in held
    ]


def _speed(one: Answered, words: Words) -> Speed:
    turns = one.turns
    judged = turns.in_target + turns.late
    channel = one.of or ""
    return Speed(
        channel_words(channel, words.language, capital=True),
        ICONS.get(channel, OTHER_ICON),
        turns.n,
        "–" if turns.median is None else words.length(turns.median),
        "–" if turns.p90 is None else words.length(turns.p90),
        round(100 * turns.in_target / judged) if judged else None,
        turns.by_bot,
        turns.by_human,
        turns.open,
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _line(one: Rate, language: Language) -> Line:
    """Drawn by square roots, so that one burst does not press all else flat; without the minute that is not over."""
    drawn = [sqrt(number) for number in one.last_hour[:-1]]
    highest = max(*drawn, sqrt(FLAT))
    step = SPARK_WIDTH / (len(drawn) - 1)
    room = SPARK_HEIGHT - 2 * SPARK_MARGIN
    points = " ".join(
        f"{place * step:.1f},{SPARK_HEIGHT - SPARK_MARGIN - room * height / highest:.1f}"
        for place, height in enumerate(drawn)
    )
    name = channel_words(one.channel, language, capital=True)
    return Line(one, name, ICONS.get(one.channel, OTHER_ICON), points)


def _causes(causes: Sequence[Cause], words: Words) -> list[Complaints]:
    most = max((one.n for one in causes), default=0) or 1
    return [
        Complaints(cause_words(one.cause, words), one.n, one.n - one.before, f"{92 * one.n / most:.1f}")
        for one in causes
    ]


def cause_words(cause: str | None, words: Words) -> str:
    """As on a timeline; a code that a company made up, with blanks."""
    if cause is None:
        return words.gettext("No reason said")
    display = CATALOGUE["complaint_raised"].display
    known = (display.en if words.language == "en" else display.ru).words
    said = known.get(cause) or cause.replace("_", " ")
    return said[:1].upper() + said[1:]
