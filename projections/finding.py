"""Finding a customer by what an agent has at hand: a name or a part of one, any identifier the customer ever
had, the number of a case or an order."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import phonenumbers

from touchbook.errors import Rejected
from touchbook.identity import STRENGTH_ORDER, IdentityRules, normalised
from touchbook.projections.stores.port import Match, Reader
from touchbook.schemas.touchpoint import Identifier

if TYPE_CHECKING:
    from touchbook.projections.who import Customer

NAME_TRAITS = ("name", "firstName", "first_name", "lastName", "last_name")
"""Registers of kind trait that say how somebody is called; see `context.name_of`."""
MOST_WORDS, LONGEST_WORD = 20, 50
"""Of one name: no sender can fill the index."""
LONGEST_ASKED = 300
SHORTEST_BEGINNING = 2
"""Letters from which on what begins so is looked for: too much begins with one, and nothing that is meant."""
SHORTEST_PART = 3
"""Letters from which on a part is looked for within words too, see `ends_again.sql`."""
SHOWN_MATCHES = 3
"""Of one customer."""
MATCHES_A_CUSTOMER = 4
"""Looked for of each kind, as several may be one customer's."""

_NUMBER_OF = re.compile(r"(?:(?:case|order|ticket|обращение|заказ)\b|[#№])\s*[#№]?\s*(?=\S)", re.IGNORECASE)
"""What people write before the number of a case or an order."""
_STRUCK = str.maketrans("øłđħı", "oldhi")
"""Letters with a stroke, or without their dot, which Unicode takes for letters of their own."""
_PHONE = re.compile(r"(?:\+|00)?[\d\s()./\-\u2010-\u2015]{4,}")


@dataclass(frozen=True, slots=True)
class Found:
    """A customer, what to call him, and what of him matched: (kind, what is shown of it), the best first. The kind of
    an identifier is its type."""

    customer: Customer
    name: str | None
    matched: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a text may mean: permanent ids, whole identifiers, words of a name, and beginnings of identifiers, cases and
    orders."""

    ids: tuple[str, ...] = ()
    identifiers: tuple[Identifier, ...] = ()
    words: tuple[str, ...] = ()
    beginnings: tuple[str, ...] = ()


def words_of(text: Any) -> list[str]:
    """The words of a name as they are compared: letters without case and without accents."""
    if not isinstance(text, str):
        return []
    bare = text[:2_000].casefold()
    if not bare.isascii():
        # Again without case: an ornate letter has kept its own.
        bare = unicodedata.normalize("NFKD", bare).casefold().translate(_STRUCK)
        bare = "".join(letter for letter in bare if unicodedata.category(letter) != "Mn")
    words = re.findall(r"\w+", bare)
    return list(dict.fromkeys(word[:LONGEST_WORD] for word in words[:MOST_WORDS]))


def asked_in(text: str, rules: IdentityRules) -> Asked:
    """All that the text may mean. `type:value` means that identifier alone."""
    text = text[:LONGEST_ASKED].strip()
    if re.fullmatch("[0-9a-f]{32}", text):
        return Asked(ids=(text,), beginnings=(text,))
    type, colon, value = text.partition(":")
    if colon and type in STRENGTH_ORDER:
        return Asked(identifiers=tuple(_read([type], value, rules)))
    words = words_of(text)
    if len(words) == 1 and len(words[0]) < SHORTEST_BEGINNING:
        words = []
    return Asked((), tuple(_read(rules.order, text, rules)), tuple(words), tuple(_beginnings(text, rules)))


def _read(types: Iterable[str], text: str, rules: IdentityRules) -> Iterator[Identifier]:
    for type in types:
        try:
            yield normalised(type, text, rules)
        except Rejected:
            continue


def _beginnings(text: str, rules: IdentityRules) -> Iterator[str]:
    bare = _NUMBER_OF.sub("", text, count=1) if _NUMBER_OF.match(text) else text
    found = [bare] if len(bare) >= SHORTEST_BEGINNING and not re.search(r"\s", bare) else []
    if bare != (folded := bare.casefold()) and found:
        found.append(folded)
    if _PHONE.fullmatch(text):
        found.append(_beginning_of_a_phone(text, rules.default_region))
    yield from dict.fromkeys(found)


def _beginning_of_a_phone(text: str, region: str | None) -> str:
    """As E.164 writes it: + and digits alone."""
    digits = re.sub(r"\D", "", text)
    if text.startswith("+"):
        return f"+{digits}"
    if digits.startswith("00"):
        return f"+{digits[2:]}"
    if region is None:
        return digits
    trunk = phonenumbers.ndd_prefix_for_region(region, strip_non_digits=True) or ""
    return f"+{phonenumbers.country_code_for_region(region)}{digits.removeprefix(trunk)}"


def matches_of(reader: Reader, asked: Asked, named: Sequence[str], limit: int) -> list[Match]:
    """What is found of it, for so many customers: the identifiers `named`, by permanent id, come first."""
    known = [
        Match(one.id, "identifier", one.identifier.value, True, one.identifier.type)
        for one in reader.known(named)
    ]
    if not asked.words and not asked.beginnings:
        return known
    more = reader.found(asked.words, asked.beginnings, MATCHES_A_CUSTOMER * limit)
    return list(dict.fromkeys([*known, *more]))


def by_customer(
    matches: Sequence[Match], behind: Callable[[set[str]], Mapping[str, Customer]], limit: int
) -> Iterator[tuple[Customer, tuple[tuple[str, str], ...]]]:
    """The first `limit` customers in the order of their best matches, each once with the best of these."""
    found: dict[str, tuple[Customer, dict[tuple[str, str], None]]] = {}
    for start in range(0, len(matches), limit):
        run = matches[start : start + limit]
        who = behind({match.subject for match in run})
        for match in run:
            if (customer := who.get(match.subject)) is not None:
                _, said = found.setdefault(customer.id, (customer, {}))
                said[match.type or match.kind, match.shown] = None
        if len(found) >= limit:
            break
    for customer, said in islice(found.values(), limit):
        yield customer, tuple(islice(said, SHOWN_MATCHES))
