"""Whose something set aside is, however it was sent."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from touchbook.identity import IdentityRules
from touchbook.schemas.touchpoint import Identifier
from touchbook.streams.admission import key_of
from touchbook.streams.control import SetAside
from touchbook.streams.naming import Named

HIS = ["user_id:42", "email:ann@example.test", "phone:+4915112345678", "device:6f1c2d3e4b5a69788796"]
PERMANENT = "0123456789abcdef0123456789abcdef"


def names_him(sent: Any, **inherited: Any) -> bool:
    raw = sent.encode() if isinstance(sent, str) else json.dumps(sent).encode()
    item = SetAside("", "no", "code", "shop", None, "segment", {"batch": inherited}, 0, raw, None)
    named = Named([*HIS, PERMANENT], str, {key_of("shop", "his-1")}.__contains__, IdentityRules())
    return named.by(item)


def test_ids_are_made_of_identifiers_alone() -> None:
    assert str(Identifier("user_id", "42")) == HIS[0]


@pytest.mark.parametrize(
    "sent",
    [
        {"userId": 42},
        {"data": {"identifiers": {"user_id": ["41", "42"]}}},
        {"traits": {"Email": " ANN@Example.test "}},
        {"note": "write to <ann@example.test>, please."},
        {"note": "call +49 151 / 123-456-78 after five"},
        {"context": {"device": {"id": "6f1c2d3e4b5a69788796"}}},
        {"note": "seen on 6f1c2d3e4b5a69788796 again"},
        {"data": {"link": ["user_id:42", "user_id:43"]}},
        {"data": {"apart": [PERMANENT]}},
        {"messageId": "his-1", "userId": "43"},
        {"ann@example.test": True},
        '{"userId": "42", "broken',
        json.dumps('{"userId": "42", "broken'),
    ],
)
def test_this_names_him(sent: Any) -> None:
    assert names_him(sent)


@pytest.mark.parametrize(
    "sent",
    [{"userId": "43"}, {"quantity": 42, "total": "42"}, {"messageId": "hers-1"}, {"email": "jo@example.test"}, "42"],
)  # fmt: skip
def test_this_does_not(sent: Any) -> None:
    assert not names_him(sent)


def test_what_came_with_the_batch_counts_too() -> None:
    assert names_him({"userId": "43"}, context={"traits": {"email": "ann@example.test"}})


def test_a_text_eight_times_as_long_takes_about_eight_times_as_long() -> None:
    """One without an end of a word kept the thread that erases, and with it the interpreter, for hours."""

    def seconds(letters: int) -> float:
        begun = time.process_time()
        assert not names_him("x" * letters)
        return time.process_time() - begun

    assert min(seconds(160_000) for _ in range(3)) < 30 * min(seconds(20_000) for _ in range(3))
