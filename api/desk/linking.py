"""Linking and un-linking identifiers: first what it would change, then the act.

The preview is worked out by the rules that decide once it is recorded, on the very touchpoint that would be recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anyio.to_thread import run_sync
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from touchbook.api.desk.acts import (
    TOKEN,
    Said,
    event_of,
    field,
    new_token,
    not_recorded,
    publisher_of,
    record,
)
from touchbook.api.desk.pages import Desk, Visit
from touchbook.api.desk.score_words import tier_of
from touchbook.api.desk.scores import in_order, titled
from touchbook.api.desk.who import (
    PATH,
    ROLES,
    called,
    found,
    identifier_words,
    masked,
    path_of,
    reading,
    situation_at,
)
from touchbook.api.desk.words import Words
from touchbook.errors import Rejected, TouchbookError
from touchbook.identity import STRENGTH_ORDER, normalised, subject_of
from touchbook.ledger import day_of
from touchbook.projections.stores.port import Known
from touchbook.projections.supposing import Decision, Side, decided
from touchbook.projections.who import Customer
from touchbook.schemas.touchpoint import Identifier
from touchbook.streams.admission import Item

LONGEST_REASON = 1_000
SHOWN_OF_A_SIDE = 6


class Unfit(Exception):
    """What was filled in cannot be done; the message says why, in the agent's language."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What an agent filled in. `apart` are ids of members; `type` and `value` name the identifier to link with."""

    act: str
    apart: tuple[str, ...]
    type: str
    value: str
    reason: str
    token: str


def routes(desk: Desk) -> list[Route]:
    return [
        desk.route(PATH + "/linking", reading(_form), roles=ROLES),
        desk.route(PATH + "/linking", _posted, ("POST",), roles=ROLES),
    ]


def _form(visit: Visit) -> Response:
    customer = found(visit)
    visit.audit("viewed", customer.id)
    return visit.desk.page(visit, "customer/linking.html", **_fields(visit, customer))


async def _posted(visit: Visit) -> Response:
    """A preview, or with `step=do` the act."""
    form = await visit.form()
    asked = Asked(
        field(form, "act"),
        tuple(form.get("apart", ())),
        field(form, "type"),
        field(form, "value"),
        field(form, "reason").strip(),
        field(form, "token"),
    )
    if field(form, "step") == "do":
        return await _act(visit, asked)
    return await run_sync(_preview, visit, asked)


def _preview(visit: Visit, asked: Asked) -> Response:
    customer = found(visit)
    try:
        decision = _decision(visit, customer, asked)
    except Unfit as wrong:
        return _refused(visit, customer, asked, str(wrong))
    _record_views(visit, customer, decision)
    fields = _fields(visit, customer, asked) | {"preview": _preview_fields(visit, decision)}
    return visit.desk.page(visit, "customer/linking.html", **fields)


def _refused(visit: Visit, customer: Customer, asked: Asked, wrong: str) -> Response:
    fields = _fields(visit, customer, asked, wrong)
    return visit.desk.page(visit, "customer/linking.html", 422, **fields)


async def _act(visit: Visit, asked: Asked) -> Response:
    customer = await run_sync(found, visit)
    try:
        event = await run_sync(_event, visit, customer, asked)
        await record(visit, [event])
    except Unfit as wrong:
        return await run_sync(_refused, visit, customer, asked, str(wrong))
    except TouchbookError as error:
        return await run_sync(_refused, visit, customer, asked, not_recorded(visit, error))
    ((type, value),) = event["data"]["identifiers"].items()
    stays = await run_sync(visit.desk.book.customers.lookup, type, value)
    return RedirectResponse(path_of(stays), 303)


# What is asked, as a touchpoint


def _event(visit: Visit, customer: Customer, asked: Asked) -> dict[str, Any]:
    """Raises `Unfit`."""
    _ = visit.words.gettext
    if not TOKEN.fullmatch(asked.token):
        raise Unfit(_("This form was cut off. Load the page anew and write it again."))
    if len(asked.reason) > LONGEST_REASON:
        raise Unfit(_("The reason is too long; %(most)s characters fit.", most=LONGEST_REASON))
    said = _unlink(visit, customer, asked) if asked.act == "unlink" else _link(visit, customer, asked)
    who, data = said
    if asked.reason:
        data["reason"] = asked.reason
    return event_of(visit, Said(asked.act if asked.act == "unlink" else "link", data), asked.token, who)


def _link(visit: Visit, customer: Customer, asked: Asked) -> tuple[Identifier, dict[str, Any]]:
    _ = visit.words.gettext
    rules = visit.desk.book.journal.rules
    if asked.type not in STRENGTH_ORDER:
        raise Unfit(_("Choose what kind of identifier it is."))
    try:
        other = normalised(asked.type, asked.value, rules)
    except Rejected as reason:
        raise Unfit(_("This is no such identifier: %(why)s", why=str(reason))) from None
    own = [one.identifier for one in customer.members]
    if other in own:
        raise Unfit(_("This identifier belongs to the customer already."))
    subject = subject_of(own, rules)
    return subject, {"link": [str(subject), str(other)]}


def _unlink(visit: Visit, customer: Customer, asked: Asked) -> tuple[Identifier, dict[str, Any]]:
    _ = visit.words.gettext
    apart = [one.identifier for one in customer.members if one.id in asked.apart]
    stay = [one.identifier for one in customer.members if one.id not in asked.apart]
    if not apart:
        raise Unfit(_("Choose the identifiers that belong to somebody else."))
    if not stay:
        raise Unfit(_("Leave at least one identifier: all of them together are this customer."))
    data = {"apart": [str(one) for one in apart], "from": [str(one) for one in stay]}
    return subject_of(stay, visit.desk.book.journal.rules), data


def _decision(visit: Visit, customer: Customer, asked: Asked) -> Decision:
    """Raises `Unfit`."""
    book = visit.desk.book
    item = Item("cloudevents", _event(visit, customer, asked), {})
    try:
        touchpoint = book.admission.touchpoint_of(item, publisher_of(visit), visit.now)
    except Rejected as reason:
        raise Unfit(not_recorded(visit, reason)) from None
    return decided(book.customers, touchpoint, day_of(visit.now))


def _record_views(visit: Visit, customer: Customer, decision: Decision) -> None:
    """Whoever stands beside him in the preview was looked at too."""
    own = set(customer.ids)
    for side in decision.before:
        ids = [one.id for one in side.members]
        if ids and own.isdisjoint(ids):
            visit.audit("viewed", visit.desk.book.customers.find(ids[0]).id)


# What is shown


def _fields(visit: Visit, customer: Customer, asked: Asked | None = None, wrong: str = "") -> dict[str, Any]:
    words = visit.words
    return {
        "path": path_of(customer),
        "name": called(customer, situation_at(visit, customer), words),
        "members": [_member(one, words) for one in customer.members],
        "types": [(type, identifier_words(type, words)) for type in STRENGTH_ORDER],
        "asked": asked or Asked("", (), "email", "", "", ""),
        "token": asked.token if asked is not None and not wrong else new_token(),
        "wrong": wrong,
        "preview": None,
    }


def _member(one: Known, words: Words) -> dict[str, Any]:
    return {
        "id": one.id,
        "type": identifier_words(one.identifier.type, words),
        "value": masked(one.identifier),
        "touchpoints": one.touchpoints,
        "first": words.date(one.first_seen),
        "last": words.date(one.last_seen),
    }


def _preview_fields(visit: Visit, decision: Decision) -> dict[str, Any]:
    words = visit.words
    cards = visit.desk.book.scorecards
    sides = [*decision.before, *decision.after]
    return {
        "changes": decision.changes,
        "before": [_side(one, words) for one in decision.before],
        "after": [_side(one, words) for one in decision.after],
        "refused": list(dict.fromkeys(_refusal(one.reason, words) for one in decision.refused)),
        "scores": [
            (titled(cards[name], words), [_value(side, name, words) for side in sides])
            for name in in_order(cards)
        ],
    }


def _side(side: Side, words: Words) -> Mapping[str, Any]:
    those = [*(one.identifier for one in side.members), *side.unseen]
    ordered = sorted(those, key=lambda one: (STRENGTH_ORDER.index(one.type), one.value))
    return {
        "identifiers": [
            f"{identifier_words(one.type, words)} {masked(one)}" for one in ordered[:SHOWN_OF_A_SIDE]
        ],
        "more": len(ordered) - SHOWN_OF_A_SIDE,
        "touchpoints": side.touchpoints,
    }


def _value(side: Side, name: str, words: Words) -> tuple[str, str, str]:
    """(tone, tier, value)"""
    score = side.scores[name]
    tier = tier_of(name, score.tier)
    return tier.tone, tier.said.in_(words.language), "–" if score.value is None else words.number(score.value)


def _refusal(reason: str, words: Words) -> str:
    """Why identifiers may not become one customer, or may not be told apart."""
    _ = words.gettext
    many = reason.removeprefix("too_many_")
    if many != reason:
        return _(
            "One customer would have too many identifiers of one kind: %(kind)s.",
            kind=identifier_words(many, words),
        )
    return {
        "blocked_value": _("One of the values names nobody, such as “unknown” or 0000."),
        "shared_identifier": _("One of the identifiers is shared by many people and links nobody."),
        "kept_apart": _("An agent told them apart before."),
    }.get(reason) or reason.replace("_", " ")
