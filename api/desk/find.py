"""The search box: a customer by a name, by anything he was ever known by, by a case or an order; and recent ones.

What an agent looks for is personal, so it is posted and stands in no address; what is found leads to a permanent id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from anyio.to_thread import run_sync
from starlette.responses import Response
from starlette.routing import Route

from touchbook.api.desk.pages import Desk
from touchbook.api.desk.score_words import Tier, tier_of
from touchbook.api.desk.visits import Visit
from touchbook.api.desk.words import Words
from touchbook.errors import CustomerUnknown
from touchbook.ledger import day_of
from touchbook.projections.context import name_of
from touchbook.projections.finding import Found
from touchbook.projections.situation import situation_of
from touchbook.projections.who import Customer
from touchbook.registers import OpenCase, open_cases
from touchbook.wiring import Book

PATH = "/desk/find"
LONGEST = 200
MOST = 8
RECENT = 6
LOOKED_BACK = 50
"""Views of this agent that are looked at for his recent customers."""
VIEWED = "viewed"
SHOWN_MATCHES = 2
TRUST = "trust"
NUMBERED = ("case", "order", "user_id")
"""Of these the value itself is shown."""


@dataclass(frozen=True, slots=True)
class Option:
    """One customer to choose: `second` says what matched, or what is open between him and us; `surely` that nobody else
    can be meant."""

    customer: str
    name: str | None
    second: str
    trust: Tier | None
    surely: bool = False


async def find(visit: Visit) -> Response:
    """Asked for nothing, the recent ones."""
    asked = (await visit.form()).get("q", [""])[0].strip()[:LONGEST]
    options = await run_sync(_found if asked else _recent, visit, asked)
    template = "find/found.html" if visit.fragment else "find/page.html"
    return visit.desk.page(visit, template, asked=asked, options=options, more=len(options) == MOST)


def routes(desk: Desk) -> list[Route]:
    return [desk.route(PATH, find, ["POST"], roles=("agent",))]


def names_of(book: Book, customers: Iterable[str]) -> dict[str, str | None]:
    """What to call these; who is not known any more is left out."""
    found = {}
    for id in customers:
        try:
            found[id] = name_of(book.customers.card(book.customers.find(id))["traits"])
        except CustomerUnknown:
            continue
    return found


def _found(visit: Visit, asked: str) -> list[Option]:
    found = visit.desk.book.customers.found(asked, MOST)
    meant = [one for one in found if _is_meant(one, asked)]
    return [
        _option(visit, one.customer, one.name, _matched(one, visit.words), surely=meant == [one])
        for one in found
    ]


def _recent(visit: Visit, asked: str) -> list[Option]:
    """Whom this agent opened last, each once; who was erased or joined since is left out or found as he is now."""
    book = visit.desk.book
    found: dict[str, Option] = {}
    views = book.audit.latest(LOOKED_BACK, who=visit.agent.key_id, act=VIEWED)
    for id in dict.fromkeys(view.customer for view in views if view.customer):
        try:
            customer = book.customers.find(id)
        except CustomerUnknown:
            continue
        if customer.id not in found:
            found[customer.id] = _option(visit, customer, names_of(book, [customer.id])[customer.id], [])
        if len(found) == RECENT:
            break
    return list(found.values())


def _option(
    visit: Visit, customer: Customer, name: str | None, matched: list[str], surely: bool = False
) -> Option:
    """What matched, and where that is no more than the name, what else tells him from others of that name."""
    book = visit.desk.book
    situation = situation_of(book.customers, customer, day_of(visit.now))
    trust = situation.scores.get(TRUST)
    second = matched or list(_known_by(customer, open_cases(situation.settings), visit.words))
    return Option(
        customer.id,
        name,
        ", ".join(second[:SHOWN_MATCHES]),
        None if trust is None else tier_of(TRUST, trust["tier"]),
        surely,
    )


def _matched(found: Found, words: Words) -> list[str]:
    """In words, without the values that stay masked until they are revealed; a name alone says nothing new, nor does an
    address that holds it."""
    said = NUMBERED if any(kind == "name" for kind, _ in found.matched) else None
    return list(
        dict.fromkeys(
            _in_words(kind, shown, found.customer, words)
            for kind, shown in found.matched
            if kind != "name" and (said is None or kind in said)
        )
    )


def _in_words(kind: str, shown: str, customer: Customer, words: Words) -> str:
    _ = words.gettext
    if kind in NUMBERED:
        return _numbered(kind, shown, words)
    former = _is_former(kind, shown, customer)
    if kind == "email":
        return _("found by an old e-mail") if former else _("found by e-mail")
    if kind == "phone":
        return _("found by an old phone number") if former else _("found by phone")
    if kind == "loyalty_card":
        return _("found by loyalty card")
    return _("found by a device or a visit")


def _is_meant(found: Found, asked: str) -> bool:
    """Whether what was asked is the whole of an identifier or a number of his; several may be called the same."""
    return any(kind != "name" and shown.casefold() == asked.casefold() for kind, shown in found.matched)


def _numbered(kind: str, number: str, words: Words) -> str:
    _ = words.gettext
    if kind == "case":
        return _("case %(number)s", number=number)
    if kind == "order":
        return _("order %(number)s", number=number)
    return _("user %(number)s", number=number) if kind == "user_id" else f"{kind} {number}"


def _is_former(type: str, value: str, customer: Customer) -> bool:
    """Whether he was seen with another of this type since."""
    same = [one for one in customer.members if one.identifier.type == type]
    newest = max(same, key=lambda one: (one.last_seen, one.identifier), default=None)
    return newest is not None and newest.identifier.value != value


def _known_by(customer: Customer, cases: Iterable[OpenCase], words: Words) -> Iterator[str]:
    """The cases that are open, then the orders, the newest first; else under which number he is known."""
    newest = [*cases][::-1]
    open = sorted(newest, key=lambda case: case.kind)
    if open:
        yield from (_numbered(case.kind, case.id, words) for case in open)
        return
    for one in customer.members:
        if one.identifier.type == "user_id":
            yield _numbered("user_id", one.identifier.value, words)
            return
    yield words.gettext("since %(day)s", day=words.date(min(one.first_seen for one in customer.members)))
