"""Customers one by one by how they stand: the tiers of a score, and who is in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import Route

from touchbook.api.desk.bars import bar
from touchbook.api.desk.overview import in_order
from touchbook.api.desk.pages import Desk, Visit
from touchbook.api.desk.score_words import LESS_IS_BETTER, Tier, tier_of
from touchbook.api.desk.who import ROLES, reading
from touchbook.errors import Refused
from touchbook.projections.watched import Order, Ranked

PATH = "/desk/standing/{score}"
PAGE = 50
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Row:
    ranked: Ranked
    name: str | None
    tier: Tier


def routes(desk: Desk) -> list[Route]:
    return [desk.route(PATH, reading(_page), roles=ROLES)]


def _page(visit: Visit) -> Response:
    """Who has a value of this score, or is in one tier of it, by the value; a page at a time."""
    book, query, language = visit.desk.book, visit.request.query_params, visit.language
    score = visit.request.path_params["score"]
    card = book.scorecards.named(score)
    tier, cursor = query.get("tier") or None, query.get("cursor", "")[:LONGEST] or None
    order = _order(query.get("order"), best=score not in LESS_IS_BETTER)
    tiers = book.overview.tiers()
    found, following = [], None
    if tiers is not None:
        listing = book.watch.standing(score, tier, order, cursor, PAGE)
        found, following = listing.items, listing.next
    drawn = {
        name: [] if tiers is None else bar(book.scorecards[name], tiers.scores[name], language)
        for name in in_order(book.scorecards)
    }
    path = PATH.format(score=score)
    kept = {"tier": tier or "", "order": order}
    return visit.desk.page(
        visit,
        "overview/standing.html",
        cards=[(name, book.scorecards[name].title[language], drawn[name]) for name in drawn],
        score=score,
        title=card.title[language],
        less_is_better=score in LESS_IS_BETTER,
        tiers=tiers,
        stretches=drawn[score],
        chosen=tier,
        tier_words=None if tier is None else tier_of(score, tier).said.in_(language),
        order=order,
        rows=_rows(visit, score, found),
        path=path,
        turned=f"{path}?{urlencode({**kept, 'order': 'value' if order == '-value' else '-value'})}",
        first=f"{path}?{urlencode(kept)}" if cursor else "",
        following=f"{path}?{urlencode({**kept, 'cursor': following})}" if following else "",
    )


def _rows(visit: Visit, score: str, found: Sequence[Ranked]) -> list[Row]:
    names = visit.desk.book.overview.names(one.customer for one in found)
    return [Row(one, names[one.customer], tier_of(score, one.tier)) for one in found if one.customer in names]


def _order(said: str | None, *, best: bool) -> Order:
    """Those whom to look after come first, where nothing is said."""
    match said:
        case "value" | "-value":
            return said
        case None | "":
            return "value" if best else "-value"
    raise Refused(422, "parameter_invalid", "query order: expected value or -value")
