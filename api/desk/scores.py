"""How he stands: the seven scores, and why each is what it is.

Everything told here is computed: what a line gives, what would be without it, what would mend it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from touchbook.api.desk import mending
from touchbook.api.desk.drawing import Chart, chart_of, spark_of
from touchbook.api.desk.pages import Desk, Visit
from touchbook.api.desk.score_words import (
    LESS_IS_BETTER,
    MIDDLE,
    ORDER,
    REPAIRS,
    SHORT_TITLES,
    line_words,
    part_words,
    signal_words,
    tier_of,
)
from touchbook.api.desk.who import PATH, ROLES, called, found, path_of, reading, situation_at
from touchbook.api.desk.words import Words
from touchbook.components import Decayed
from touchbook.errors import Refused, TouchpointUnknown
from touchbook.ledger import MILLISECONDS_A_DAY, Day, day_of
from touchbook.projections.series import DAYS, Lines, lines_of
from touchbook.projections.supposing import Supposed, explained, suppose
from touchbook.projections.who import Customer
from touchbook.schemas.times import day_number
from touchbook.scorecard import Linear, Saturating, Scorecard, Shares, bounded
from touchbook.scoring import LIMIT, Score

NEAR = 2
"""So few points before the next tier it is marked."""
FEW_KEYS = 200
"""Of one line so many touchpoints can be opened."""
MARGIN_KEYS = 2_000
BY_ROW = ("balance", "decayed")
"""Kinds whose lines are told by signal; the others speak of days, and are told together."""


@dataclass(frozen=True, slots=True)
class Told:
    """A score as its row shows it. `value` None: there is too little evidence, and `evidence` says how much."""

    name: str
    title: str
    description: str
    tone: str
    tier: str
    value: int | None
    evidence: str
    next: str
    near: bool
    thresholds: tuple[int, ...]
    less_is_better: bool


@dataclass(slots=True)
class Row:
    """Lines of an explanation that are told together. `place` names them; `keys` are the touchpoints behind them, the
    newest first; `extent` is the length of the bar."""

    place: str
    part: str
    signal: str | None
    days: set[Day] = field(default_factory=set)
    count: int = 0
    milli: int = 0
    keys: dict[str, None] = field(default_factory=dict)
    label: str = ""
    base: bool = False
    good: bool = True
    extent: float = 0

    @property
    def shown(self) -> list[str]:
        return list(self.keys)[:FEW_KEYS]


def routes(desk: Desk) -> list[Route]:
    def route(path: str, tell: Callable[[Visit], Response]) -> Route:
        return desk.route(PATH + path, reading(tell), roles=ROLES)

    return [
        route("/scores", _scores),
        route("/lines", _lines),
        route("/scores/{name}", _why),
        route("/scores/{name}/if", _if_line),
        route("/scores/{name}/without/{key}", _without),
        route("/scores/{name}/with/{signal}", _with),
    ]


# The rows


def scores_fields(visit: Visit, customer: Customer) -> dict[str, Any]:
    """For `customer/scores.html`: every score, and the reasons of the one that is open."""
    situation = situation_at(visit, customer)
    given, cards = situation.scores, visit.desk.book.scorecards
    opened = visit.request.query_params.get("why")
    return {
        "path": path_of(customer),
        "name": called(customer, situation, visit.words),
        "scores": [told(cards[name], given[name], visit.words) for name in in_order(cards)],
        "why": why_fields(visit, customer, opened) if opened and opened in cards else None,
    }


def in_order(names: Iterable[str]) -> list[str]:
    places = {name: place for place, name in enumerate(ORDER)}
    return sorted(names, key=lambda name: (places.get(name, len(places)), name))


def told(card: Scorecard, given: Mapping[str, Any], words: Words) -> Told:
    tier = tier_of(card.name, given["tier"])
    above = given["next_tier"]
    return Told(
        name=card.name,
        title=titled(card, words),
        description=card.description.get(words.language) or card.description.get("en", ""),
        tone=tier.tone,
        tier=tier.said.in_(words.language),
        value=given["value"],
        evidence=_evidence(card, given["evidence"], words) if given["value"] is None else "",
        next=_next(card.name, above, words) if above else "",
        near=bool(above) and above["needs"] <= NEAR,
        thresholds=tuple(least for _, least in card.tiers if least),
        less_is_better=card.name in LESS_IS_BETTER,
    )


def titled(card: Scorecard, words: Words) -> str:
    """Its title, or the shorter one that fits beside a gauge."""
    if card.name in SHORT_TITLES:
        return SHORT_TITLES[card.name].in_(words.language)
    return card.title.get(words.language) or card.title.get("en") or card.name


def _next(score: str, above: Mapping[str, Any], words: Words) -> str:
    tier = tier_of(score, above["tier"]).said.in_(words.language)
    return words.gettext("%(points)s to %(tier)s", points=above["needs"], tier=tier)


def _evidence(card: Scorecard, evidence: int, words: Words) -> str:
    """How much there is, and how much it takes."""
    _ = words.gettext
    if card.needs is not None:
        return _("needs: %(signal)s", signal=signal_words(card.needs.signal, words.language).lower())
    return _("evidence: %(there)s of %(needed)s", there=evidence, needed=card.min_evidence)


def _scores(visit: Visit) -> Response:
    return visit.desk.page(visit, "customer/scores.html", **scores_fields(visit, found(visit)))


def _lines(visit: Visit) -> Response:
    """The lines of all scores, which take too long for the page itself."""
    customer = found(visit)
    cards = visit.desk.book.scorecards
    drawn = _drawn(visit, customer)
    given = situation_at(visit, customer).scores
    sparks = [
        (
            name,
            tier_of(name, given[name]["tier"]).tone,
            spark_of(titled(cards[name], visit.words), drawn.of(name), visit.words),
        )
        for name in in_order(cards)
    ]
    return visit.desk.page(visit, "customer/lines.html", sparks=sparks)


def _drawn(visit: Visit, customer: Customer) -> Lines:
    return lines_of(visit.desk.book.customers, customer, day_of(visit.now), DAYS)


# Why


def _why(visit: Visit) -> Response:
    fields = why_fields(visit, found(visit), visit.request.path_params["name"])
    return visit.desk.page(visit, "customer/why.html", **fields)


def why_fields(visit: Visit, customer: Customer, name: str) -> dict[str, Any]:
    """For `customer/why.html`. Raises `ScorecardUnknown`."""
    book, at = visit.desk.book, day_of(visit.now)
    card = book.scorecards.named(name)
    explanation = explained(book.customers, customer, name, at)
    rows = rows_of(card, explanation["contributions"], at, visit.words)
    drawn = _drawn(visit, customer).of(name)
    score = explanation["score"]
    return {
        "path": path_of(customer),
        "score": told(card, score, visit.words),
        "groups": _groups(card, rows, score["parts"], visit.words),
        "sum": _sum(card, score, visit.words),
        "points": points_of(explanation["contributions"], name in LESS_IS_BETTER, visit.words),
        "chart": _chart(card, drawn, explanation["contributions"], at, visit.words),
        "mends": mending.mends_of(visit, customer, card, score["value"]),
    }


def rows_of(card: Scorecard, contributions: Sequence[Mapping[str, Any]], at: Day, words: Words) -> list[Row]:
    """Lines told together, as of a day; what harms most first, a starting point before all."""
    rows: dict[str, Row] = {}
    for line in contributions:
        kind = _kind(card, line["part"], line["component"])
        signal = line["signal"] if kind in BY_ROW else None
        place = ".".join((line["part"], line["component"], signal or ""))
        row = rows.setdefault(place, Row(place, line["part"], signal))
        row.base |= kind == "base"
        row.milli += line["milli_points"]
        row.count += _amount(card, line)
        if line["day"] is not None:
            row.days.add(day_number(line["day"]))
        row.keys.update(dict.fromkeys(line["touchpoints"]))
    less = card.name in LESS_IS_BETTER
    widest = max((abs(row.milli) for row in rows.values() if not row.base), default=0)
    for row in rows.values():
        row.label = _label(card, row, at, words)
        row.good = (row.milli < 0) == less
        row.extent = round(12 * abs(row.milli) / widest, 1) if widest and not row.base else 0
    telling = [row for row in rows.values() if row.milli or _kind_of(card, row) == "balance"]
    return sorted(telling, key=lambda row: (not row.base, -row.milli if less else row.milli))


def _kind(card: Scorecard, part: str, component: str) -> str:
    return LIMIT if component == LIMIT else card.component(part, component).kind


def _kind_of(card: Scorecard, row: Row) -> str:
    part, component, _ = row.place.split(".", 2)
    return _kind(card, part, component)


def _amount(card: Scorecard, line: Mapping[str, Any]) -> int:
    """How often it was counted; of a line that adds up an amount, so many units."""
    found = None if line["component"] == LIMIT else card.component(line["part"], line["component"])
    if isinstance(found, Decayed) and found.of == "total":
        return int(line["total"]) // found.unit
    return int(line["count"]) if found is not None and found.kind in BY_ROW else 1


def _label(card: Scorecard, row: Row, at: Day, words: Words) -> str:
    component, kind = row.place.split(".")[1], _kind_of(card, row)
    if kind == "base":
        return _starting(card, row.milli, words)
    if kind == LIMIT:
        limited = line_words(card.name, component, kind, words.language) or ""
        return f"{part_words(card.name, row.part, words.language)}: {limited[:1].lower()}{limited[1:]}"
    said = line_words(card.name, component, "" if kind in BY_ROW else kind, words.language, row.count)
    if said is None:
        said = signal_words(row.signal or component, words.language, row.count)
    if row.count == 1 and len(row.days) == 1 and kind in BY_ROW:
        return f"{said}, {words.day_short(_noon(next(iter(row.days))), _noon(at))}"
    return said


def _starting(card: Scorecard, milli: int, words: Words) -> str:
    value = card.value
    if isinstance(value, Linear) and 2 * milli == value.low + value.high:
        said = MIDDLE.in_(words.language)
        return said[:1].upper() + said[1:]
    return line_words(card.name, "", "base", words.language) or ""


def _noon(day: Day) -> int:
    """A ledger's days are UTC days: noon is within them nearly everywhere."""
    return day * MILLISECONDS_A_DAY + MILLISECONDS_A_DAY // 2


def _groups(
    card: Scorecard, rows: Sequence[Row], parts: Mapping[str, int], words: Words
) -> list[tuple[str, str, list[Row]]]:
    """(heading, what it comes to, rows): by part where each part saturates by itself, else all together."""
    if not isinstance(card.value, Shares):
        return [("", "", list(rows))]
    groups = []
    for part in card.parts:
        if those := [row for row in rows if row.part == part.name]:
            share, saturation = card.value.shares[part.name]
            reached = share * bounded(parts[part.name], saturation) // 100
            comes_to = words.gettext("%(points)s of %(most)s", points=reached, most=share)
            groups.append((part_words(card.name, part.name, words.language), comes_to, those))
    return groups


def _sum(card: Scorecard, score: Mapping[str, Any], words: Words) -> str:
    """What the lines add up to; where points and value are not the same measure, what they make."""
    if isinstance(card.value, Linear):
        return words.points(score["milli_points"])
    value = "–" if score["value"] is None else words.number(score["value"])
    if isinstance(card.value, Saturating):
        points = words.points(score["milli_points"])
        return words.gettext("%(points)s points make %(value)s", points=points, value=value)
    return value


def points_of(contributions: Iterable[Mapping[str, Any]], less_is_better: bool, words: Words) -> str:
    """JSON: touchpoint → [milli-points, the same in words, whether that is good], for the timeline's margin. What
    several touchpoints of a day gave together is shared between them."""
    given: dict[str, int] = {}
    for line in contributions:
        keys = line["touchpoints"]
        for key in keys[:MARGIN_KEYS]:
            given[key] = given.get(key, 0) + line["milli_points"] // len(keys)
    shared = {
        key: [milli, words.points(milli, signed=True), (milli < 0) == less_is_better]
        for key, milli in list(given.items())[:MARGIN_KEYS]
        if abs(milli) >= 50
    }
    return json.dumps(shared, ensure_ascii=False, separators=(",", ":"))


def _chart(
    card: Scorecard,
    values: Sequence[int | None],
    contributions: Sequence[Mapping[str, Any]],
    at: Day,
    words: Words,
) -> Chart | None:
    tiers = [(tier_of(card.name, name).said.in_(words.language), least) for name, least in card.tiers]
    return chart_of(
        titled(card, words),
        values,
        tiers,
        partial(_event, card, contributions, at, len(values), words),
        words,
    )


def _event(
    card: Scorecard,
    contributions: Sequence[Mapping[str, Any]],
    at: Day,
    days: int,
    words: Words,
    place: int,
    fell: bool,
) -> str:
    """What happened on a day of the chart: the line of that day that moved most to that side."""
    day = at - days + 1 + place
    told = words.day_short(_noon(day))
    sign = -1 if fell else 1
    those = [
        line
        for line in contributions
        if line["day"] is not None and line["signal"] and day_number(line["day"]) == day
    ]
    most = max(those, key=lambda line: sign * line["milli_points"], default=None)
    if most is None or sign * most["milli_points"] <= 0:
        return told
    said = signal_words(most["signal"], words.language, _amount(card, most))
    return f"{told}, {said[:1].lower() + said[1:]}"


# What if


def _if_line(visit: Visit) -> Response:
    """Under a line: the score without it, and with what would undo it."""
    customer, name, at = found(visit), visit.request.path_params["name"], day_of(visit.now)
    book = visit.desk.book
    card = book.scorecards.named(name)
    place = visit.request.query_params.get("line", "")
    contributions = explained(book.customers, customer, name, at)["contributions"]
    row = next((row for row in rows_of(card, contributions, at, visit.words) if row.place == place), None)
    if row is None or not row.keys:
        raise TouchpointUnknown
    asked = [Supposed(without=frozenset(row.keys))]
    labels = [_without_words(len(row.keys), visit.words)]
    if row.signal in REPAIRS and REPAIRS[row.signal][0] in card.signals:
        repair, said = REPAIRS[row.signal]
        asked.append(Supposed(adding=(repair,)))
        labels.append(said.in_(visit.language))
    scores = suppose(book.customers, customer, name, at, asked)
    return _answers(visit, list(zip(labels, scores, strict=True)))


def _without_words(n: int, words: Words) -> str:
    return words.ngettext("without it", "without these %(num)s", n)


def _without(visit: Visit) -> Response:
    key = visit.request.path_params["key"]
    return _supposed(visit, Supposed(without=frozenset({key})), _without_words(1, visit.words))


def _with(visit: Visit) -> Response:
    signal = visit.request.path_params["signal"]
    if not visit.desk.book.catalogue.gives(signal):
        raise Refused(400, "signal_unknown", "expected a signal that touchpoints give")
    label = visit.words.gettext("with: %(signal)s", signal=signal_words(signal, visit.language).lower())
    return _supposed(visit, Supposed(adding=(signal,)), label)


def _supposed(visit: Visit, asked: Supposed, label: str) -> Response:
    customer, name = found(visit), visit.request.path_params["name"]
    scores = suppose(visit.desk.book.customers, customer, name, day_of(visit.now), [asked])
    return _answers(visit, [(label, scores[0])])


def _answers(visit: Visit, answers: Sequence[tuple[str, Score]]) -> Response:
    told = [
        (label, None if one.value is None else visit.words.number(one.value), tier_of(one.name, one.tier))
        for label, one in answers
    ]
    return visit.desk.page(visit, "customer/if.html", answers=told)
