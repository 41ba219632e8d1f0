"""Who is who: identifiers made comparable, the claims a touchpoint makes, and the customers that follow.

Claims are kept for ever and links are computed from them, so nothing here depends on the order of arrival:
the same set of claims gives the same customers and the same refusals, and one more claim undoes any link.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import phonenumbers

from touchbook.errors import Rejected
from touchbook.links import Links, Pair, links_of
from touchbook.schemas.touchpoint import AGENT, CARRIED, IDENTIFIED, Claim, Identifier, Touchpoint

STRENGTH_ORDER = ("user_id", "loyalty_card", "email", "phone", "device", "anonymous_id")
"""Every identifier type, the strongest first."""

SHARED_BEYOND = 20
"""Claimed by more distinct user_ids than this, an identifier is a kiosk, a family tablet, a switchboard."""

LINK, UNLINK = "link", "unlink"
"""Stored names of the two touchpoints by which an agent decides."""


# Identifiers


@dataclass(frozen=True)
class IdentityRules:
    """How a journal compares identifiers: written into it at creation, never changed for it afterwards.

    `order`          the types, the strongest first: which identifier becomes the subject
    `default_region` where a phone number without a country code belongs ("DE"); None: it is rejected
    `version`        of the normalisers below; a journal of another version is refused, not guessed at
    """

    order: tuple[str, ...] = STRENGTH_ORDER
    default_region: str | None = None
    version: int = 1

    def __post_init__(self) -> None:
        if sorted(self.order) != sorted(STRENGTH_ORDER):
            raise ValueError(f"order: expected each of {', '.join(STRENGTH_ORDER)} once")
        if self.default_region is not None and self.default_region not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError(
                "default_region: expected a two-letter ISO 3166 country code in capitals, as in DE"
            )
        if self.version != 1:
            raise ValueError(f"version: expected 1, the only one this release knows, not {self.version}")

    def to_json(self) -> dict[str, Any]:
        return {"order": list(self.order), "default_region": self.default_region, "version": self.version}

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> IdentityRules:
        return cls(tuple(written["order"]), written["default_region"], written["version"])


def normalised(type: str, value: str, rules: IdentityRules) -> Identifier:
    """The identifier in its one comparable spelling; normalising it again changes nothing.

    email: casefolded; phone: E.164; all: trimmed, Unicode NFC, 1 to 200 characters (email: 254), no control
    characters. Raises `Rejected("identifier_invalid")` that names the type and never carries the value.
    """
    if type not in STRENGTH_ORDER:
        # A key that does not look like a field name may be somebody's data: then it is not repeated.
        name = type if re.fullmatch(r"[A-Za-z_]{1,40}", type) else "identifiers"
        raise _invalid(name, f"is no identifier type; expected one of: {', '.join(STRENGTH_ORDER)}")
    text = _text(type, value)
    if type == "email":
        return Identifier(type, _email(text))
    if type == "phone":
        return Identifier(type, _phone(text, rules.default_region))
    return Identifier(type, text)


_EDGES = "".join(filter(str.isspace, map(chr, range(0x3001)))) + (
    "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
)
"""White space (none stands beyond U+3000), and the invisible marks that a copy from a contact list brings."""


def _invalid(type: str, expected: str) -> Rejected:
    return Rejected("identifier_invalid", expected, field=type)


def _text(type: str, value: str) -> str:
    text = unicodedata.normalize("NFC", value).strip(_EDGES)
    longest = 254 if type == "email" else 200
    if not 1 <= len(text) <= longest:
        raise _invalid(type, f"expected 1 to {longest} characters")
    # Cc: control characters, NUL among them; Cs: halves of surrogate pairs, which cannot be written as UTF-8.
    # What is printable holds neither, and nearly every identifier is.
    if not text.isprintable() and any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise _invalid(type, "expected no control characters")
    return text


def _email(text: str) -> str:
    folded = unicodedata.normalize("NFC", text.casefold())  # folding takes some letters apart again
    name, at, host = folded.partition("@")
    odd = any(letter.isspace() or unicodedata.category(letter) == "Cf" for letter in folded)
    if not (name and at and host) or "@" in host or odd or len(folded) > 254:
        raise _invalid(
            "email", "expected an address as in name@example.test, at most 254 characters, no spaces"
        )
    return folded


_PHONE = re.compile(r"\+?[\d\s()./\-\u2010-\u2015]+")
"""Digits and what people put between them. Letters are not taken: an extension is another person's desk."""


def _phone(text: str, region: str | None) -> str:
    """E.164. Possible numbers are enough: lists of those in use age, and a journal outlives them."""
    if region is None and text.startswith("00"):
        text = "+" + text[2:]
    international = text.startswith("+")
    if region is None and not international:
        raise _invalid(
            "phone", "expected a country code after + or 00 (this journal has no default phone region)"
        )
    if not _PHONE.fullmatch(text):
        raise _invalid("phone", "expected digits, spaces and ( ) . / - only, after an optional +")
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        raise _invalid("phone", "expected a phone number with a known country code") from None
    possible = phonenumbers.is_possible_number_with_reason(number)
    # Without its area code a number belongs to somebody in every town; after a + it is taken at its word.
    local = possible == phonenumbers.ValidationResult.IS_POSSIBLE_LOCAL_ONLY
    if not (possible == phonenumbers.ValidationResult.IS_POSSIBLE or (local and international)):
        raise _invalid(
            "phone", "expected a whole phone number, neither shorter nor longer than its country has"
        )
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


BLOCKED = frozenset({
    "null", "none", "nil", "undefined", "nan", "n/a", "na", "true", "false", "[object object]",
    "anonymous", "unknown", "guest", "user", "default", "not_authenticated", "-1",
    "02:00:00:00:00:00",  # what Android answers instead of its MAC address
    "9774d56d682e549c",  # the ANDROID_ID that a whole series of devices shares
})  # fmt: skip
"""Values, casefolded, that a program writes when it does not know who it is talking to."""

_SAME_DIGITS = re.compile(r"\+\d{1,3}(\d)\1{6,}")
_ZEROS = frozenset("0-")
_MARKS = frozenset(string.punctuation + "–—…«»„“”№")


def is_blocked(identifier: Identifier) -> bool:
    """Whether the value names nobody, so that it must link nobody. The touchpoint itself is welcome.

    Blocked: the words of `BLOCKED` in any case; only zeros and dashes (`0`, `0000`, the empty UUID); one
    punctuation mark repeated (`?`, `***`); a phone number that is one digit repeated after its country code.
    """
    value = identifier.value
    if identifier.type == "phone":
        return _SAME_DIGITS.fullmatch(value) is not None
    letters = set(value)
    return letters <= _ZEROS or (len(letters) == 1 and letters <= _MARKS) or value.casefold() in BLOCKED


def subject_of(identifiers: Sequence[Identifier], rules: IdentityRules) -> Identifier:
    """The strongest that is not blocked, or the strongest if all are; of one type the least.

    Expects one or more. Whatever the order in which a sender lists them, the subject is the same.
    """
    return min(identifiers, key=lambda one: (is_blocked(one), rules.order.index(one.type), one))


def shown_member(members: Mapping[Identifier, int]) -> Identifier:
    """The member whose permanent id is shown: the least (first occurred_at, identifier). Expects one or more.

    It stays the same while the customer grows, unless somebody who was seen earlier joins.
    """
    return min(members, key=lambda member: (members[member], member))


# Claims


def claims_of(touchpoint: Touchpoint) -> list[Claim]:
    """What it asserts: its subject is each other identifier it carries, never all pairs; and an agent's word.

    A link asserts that all ids of `data["link"]` are one person, every pair of them, so that it lifts an unlink
    of the same ids; an unlink that nobody in `data["apart"]` is anybody in `data["from"]`. Only these two are an
    agent's decisions: a note by the same agent that happens to carry two identifiers cannot overrule one.
    """
    decided = touchpoint.type in (LINK, UNLINK)
    if not decided and touchpoint.identifiers == (touchpoint.subject,):
        return []  # most touchpoints carry one identifier
    carried = ((touchpoint.subject, other) for other in touchpoint.identifiers)
    strength = CARRIED if decided else min(touchpoint.strength, IDENTIFIED)
    claims = _claims(touchpoint, carried, strength)
    if touchpoint.type == LINK:
        claims += _claims(touchpoint, combinations(_identifiers(touchpoint.data["link"]), 2), AGENT)
    elif touchpoint.type == UNLINK:
        sides = product(_identifiers(touchpoint.data["apart"]), _identifiers(touchpoint.data["from"]))
        claims += _claims(touchpoint, sides, AGENT, apart=True)
    return claims


def _identifiers(written: Iterable[str]) -> list[Identifier]:
    """From "type:value", normalised when the door took them; a value may hold further colons."""
    return [Identifier(type, value) for type, _, value in (text.partition(":") for text in written)]


def _claims(touchpoint: Touchpoint, sides: Iterable[Pair], strength: int, apart: bool = False) -> list[Claim]:
    """One claim per pair, whichever way round and however often it is said, and none of one with itself."""
    pairs = dict.fromkeys((min(one, other), max(one, other)) for one, other in sides if one != other)
    at, key, source = touchpoint.occurred_at, touchpoint.key, touchpoint.source
    return [Claim(*pair, strength, apart, at, key, source) for pair in pairs]


# Customers


def resolve(claims: Iterable[Claim], kiosks: AbstractSet[Identifier]) -> Links:
    """The customers that follow from the claims: a function of the set, whatever the order or the repeats.

    Claims are taken in the order (-strength, occurred_at, touchpoint, lesser, greater); each joins its two
    sides unless a guard refuses: a blocked value, a kiosk, two sides an agent keeps apart, or the maxima of
    a customer. Between two identifiers the latest agent decision holds: a later link lifts an unlink of
    that very pair, and a link overtaken by an unlink counts as never said. Near-linear in the number of
    claims.
    """
    claims = set(claims)
    named = {side for claim in claims for side in (claim.lesser, claim.greater)}
    return links_of(claims, {one for one in named if is_blocked(one)}, kiosks)
