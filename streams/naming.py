"""Whether something that was sent names somebody: how erasing finds what was set aside of a customer.

What is set aside could not be read as a touchpoint, so it is searched as it was sent, for everything that may be an
identifier. Found is what has one of his permanent ids: so nobody needs to keep his identifiers to go on after a crash.
Ids that may be short, as 42, count only where an id stands; e-mails, phone numbers and long ids wherever they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

from touchbook.errors import Rejected
from touchbook.identity import STRENGTH_ORDER, IdentityRules, normalised
from touchbook.schemas.touchpoint import Identifier
from touchbook.streams.admission import key_of
from touchbook.streams.control import SetAside

Leaf = tuple[str, str]
"""(field, text)."""

FIELDS = {"previousid": "anonymous_id", "deviceid": "device", "mail": "email", "emailaddress": "email"}
FIELDS |= {f"{kind.replace('_', '')}": kind for kind in STRENGTH_ORDER}
"""Names of fields that hold an identifier, without what people put between words."""
PLAIN = tuple(kind for kind in STRENGTH_ORDER if kind not in ("email", "phone"))

# From where a word begins: else a long text without an @ is gone through again from each of its letters.
_EMAIL = re.compile(
    r"(?<![^\s<>\"',;:()\[\]{}\\/])"
    r"[^\s<>\"',;:()\[\]{}\\/]{1,254}@[^\s<>\"',;:()\[\]{}\\/]{1,254}"
)
_PHONE = re.compile(r"\+?\(?\d[\d\s()./\-]{5,24}\d")
_LONG = re.compile(r"[^\s\"',;:()\[\]{}]{16,200}")
_IN_TEXT = re.compile(r'"([A-Za-z_. -]{1,40})"\s*:\s*"?([^",}\]]{1,254})')
_BETWEEN_WORDS = re.compile(r"[^a-z]")


class Named:
    """Somebody, as what was sent may name him."""

    def __init__(
        self,
        ids: Collection[str],
        id_of: Callable[[Identifier], str],
        is_touchpoint: Callable[[str], bool],
        rules: IdentityRules,
    ) -> None:
        """`ids` are his permanent ids; `is_touchpoint` tells whether a key is of one of his touchpoints."""
        self._ids = frozenset(ids)
        self._id_of = id_of
        self._is_touchpoint = is_touchpoint
        self._rules = rules

    def by(self, item: SetAside) -> bool:
        """Whether the item, or what its batch gave it, names him or one of his touchpoints."""
        text = item.raw.decode("utf-8", "replace")
        try:
            sent = json.loads(text)
        except (ValueError, RecursionError):
            sent = text
        id = (sent.get("messageId") or sent.get("id")) if isinstance(sent, dict) else None
        if isinstance(id, (str, int)) and self._is_touchpoint(key_of(item.source, str(id))):
            return True
        return any(self._is_in(*leaf) for leaf in _leaves([sent, item.inherited]))

    def _is_in(self, field: str, text: str) -> bool:
        return any(self._is(*candidate) for candidate in _candidates(field, text)) or any(
            found in self._ids for found in _LONG.findall(text)
        )

    def _is(self, type: str, value: str) -> bool:
        try:
            return self._id_of(normalised(type, value, self._rules)) in self._ids
        except Rejected:
            return False


def _candidates(field: str, text: str) -> Iterator[tuple[str, str]]:
    """(type, value) of everything in a text that may be an identifier; the text itself may be JSON, whole or not."""
    for name, value in ((field, text), *_IN_TEXT.findall(text)):
        if (type := FIELDS.get(_BETWEEN_WORDS.sub("", name.casefold()))) is not None:
            yield type, value
    kind, _, value = text.partition(":")
    if kind in STRENGTH_ORDER:
        yield kind, value
    yield from (("email", found.strip(".")) for found in _EMAIL.findall(text))
    yield from (("phone", found) for found in _PHONE.findall(text))
    yield from ((kind, found) for found in _LONG.findall(text) for kind in PLAIN)


def _leaves(value: Any) -> Iterator[Leaf]:
    """Every text and number with its field, names of fields among them. The `id` in `device: {id}` is a device's."""
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        field, value = waiting.pop()
        if isinstance(value, dict):
            for name, one in value.items():
                yield "", name
                waiting.append((field if name == "id" else name, one))
        elif isinstance(value, list):
            waiting += [(field, one) for one in value]
        elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
            yield field, str(value)
