"""Whose page it is: the customer behind an address, his name, and how his identifiers are shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import phonenumbers
from anyio.to_thread import run_sync
from starlette.responses import Response

from touchbook.api.desk.pages import Handler, Visit
from touchbook.api.desk.words import Words
from touchbook.errors import CustomerUnknown
from touchbook.ledger import day_of
from touchbook.projections.context import name_of
from touchbook.projections.situation import Situation, situation_of
from touchbook.projections.stores.port import Known
from touchbook.projections.who import Customer
from touchbook.schemas.touchpoint import Identifier

PATH = "/desk/customers/{id}"
ROLES = ("agent",)
SHOWN_IDENTIFIERS = 5
"""Of each type; the rest stands on the page where identifiers are linked."""
COUNTED = ("device", "anonymous_id")
DOTS = "•••"


@dataclass(frozen=True, slots=True)
class Shown:
    """An identifier on the page. `reveal` says what the eye shows, None where nothing is hidden."""

    id: str
    label: str
    value: str
    reveal: str | None


def reading(tell: Callable[[Visit], Response]) -> Handler:
    """A handler that does its reading in a thread of its own."""

    async def handler(visit: Visit) -> Response:
        return await run_sync(tell, visit)

    return handler


def found(visit: Visit) -> Customer:
    """The customer of the address, which holds a permanent id and nothing else. Raises `CustomerUnknown`."""
    id = visit.request.path_params["id"]
    if not re.fullmatch("[0-9a-f]{32}", id):
        raise CustomerUnknown
    return visit.desk.book.customers.find(id)


def path_of(customer: Customer) -> str:
    return PATH.format(id=customer.id)


def situation_at(visit: Visit, customer: Customer) -> Situation:
    return situation_of(visit.desk.book.customers, customer, day_of(visit.now))


def called(customer: Customer, situation: Situation, words: Words) -> str:
    """His name; where it was never told, the identifier he is known longest under."""
    named = name_of(situation.values("trait"))
    if named:
        return named
    one = next((one for one in customer.members if one.id == customer.id), customer.members[0])
    return f"{identifier_words(one.identifier.type, words)} {masked(one.identifier)}"


def identifiers_shown(members: Sequence[Known], words: Words) -> list[Shown]:
    shown: list[Shown] = []
    for type in ("user_id", "email", "phone", "loyalty_card"):
        those = [one for one in members if one.identifier.type == type]
        shown += [shown_as(one, words) for one in those[:SHOWN_IDENTIFIERS]]
    return shown


def shown_as(member: Known, words: Words) -> Shown:
    value = masked(member.identifier)
    hidden = value != member.identifier.value
    label = identifier_words(member.identifier.type, words)
    return Shown(member.id, label, value, _reveals(member.identifier.type, words) if hidden else None)


def masked(identifier: Identifier) -> str:
    """Enough to recognise one that is known, too little to learn one that is not."""
    value = identifier.value
    match identifier.type:
        case "email":
            return _masked_email(value)
        case "phone":
            return _masked_phone(value)
        case "loyalty_card":
            return f"•••• {value[-4:]}" if len(value) > 7 else f"••••{value[-1:]}"
        case "device" | "anonymous_id":
            return f"{value[:4]}…" if len(value) > 8 else value
        case _:
            return _masked_email(value) if "@" in value else value


def _masked_email(value: str) -> str:
    name, _, host = value.partition("@")
    ends = f"{name[0]}{DOTS}{name[-1]}" if len(name) > 2 else DOTS
    return f"{ends}@•••••{host[host.rfind('.') :] if '.' in host else ''}"


def _masked_phone(value: str) -> str:
    try:
        country = f"+{phonenumbers.parse(value).country_code} "
    except phonenumbers.NumberParseException:
        country = ""
    return f"{country}•• {DOTS} ••{value[-2:]}"


def identifier_words(type: str, words: Words) -> str:
    return _types(words)[type]


def reference_words(reference: str, words: Words) -> str:
    """An identifier spelled as type:value, masked: "E-mail m•••t@•••••.test". What is none stays as it is."""
    type, _, value = reference.partition(":")
    known = _types(words)
    return f"{known[type]} {masked(Identifier(type, value))}" if type in known else reference


def _types(words: Words) -> dict[str, str]:
    _ = words.gettext
    return {
        "user_id": _("User"),
        "email": _("E-mail"),
        "phone": _("Phone"),
        "loyalty_card": _("Loyalty card"),
        "device": _("Device"),
        "anonymous_id": _("Visitor"),
    }


def _reveals(type: str, words: Words) -> str:
    _ = words.gettext
    return {
        "email": _("Reveal the e-mail"),
        "phone": _("Reveal the phone"),
        "loyalty_card": _("Reveal the card"),
    }.get(type) or _("Reveal the identifier")


def also_words(members: Sequence[Known], words: Words) -> str:
    """What nobody reads aloud: "2 devices, 3 anonymous visits"."""
    types = [one.identifier.type for one in members]
    parts = []
    if devices := types.count("device"):
        parts.append(words.ngettext("%(num)s device", "%(num)s devices", devices))
    if visits := types.count("anonymous_id"):
        parts.append(words.ngettext("%(num)s anonymous visit", "%(num)s anonymous visits", visits))
    hidden = sum(max(0, types.count(type) - SHOWN_IDENTIFIERS) for type in set(types) - set(COUNTED))
    if hidden:
        parts.append(words.ngettext("%(num)s more identifier", "%(num)s more identifiers", hidden))
    return ", ".join(parts)
