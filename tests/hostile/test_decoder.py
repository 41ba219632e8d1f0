"""The decoder of the doors against a slow one that says the same in other words: the same value, or both refuse."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from hypothesis import example, given, settings

from tests.hostile.texts import JSON_TEXTS, MANGLED, OF_TOKENS
from tests.thorough import examples
from touchbook.schemas.strict_json import JsonInvalid, decode


class NotStrict(Exception):
    """The reference refuses."""


def reference(body: bytes) -> Any:
    """What the rules say, one after the other, as slow as they like to be."""
    try:
        value = json.loads(
            body.decode(),
            object_pairs_hook=_each_field_once,
            parse_int=_of_64_bits,
            parse_float=_of_a_float,
            parse_constant=_no_number,
        )
    except (ValueError, RecursionError) as error:
        raise NotStrict from error
    _look_into(value, 1)
    return value


def _each_field_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise NotStrict
    return dict(pairs)


def _of_64_bits(digits: str) -> int:
    if len(digits) > 25 or not -(2**63) <= int(digits) < 2**63:
        raise NotStrict
    return int(digits)


def _of_a_float(digits: str) -> float:
    number = float(digits)
    mantissa = re.split("[eE]", digits)[0]
    if math.isinf(number) or (number == 0 and mantissa.strip("-0.") != ""):
        raise NotStrict
    return number


def _no_number(_: str) -> Any:
    raise NotStrict


def _look_into(value: Any, depth: int) -> None:
    if isinstance(value, str):
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise NotStrict
    elif isinstance(value, (dict, list)):
        if depth > 32:
            raise NotStrict
        for inner in value if isinstance(value, list) else [*value, *value.values()]:
            _look_into(inner, depth + 1)


def exact(value: Any) -> str:
    """Equal only for what is the same to the type and the sign of nothing."""
    return repr(value)


@settings(max_examples=examples(500), deadline=None)
@given(JSON_TEXTS | MANGLED | OF_TOKENS)
@example(b"-0")
@example(b"[-0.0, 0e5, 0e-5000, 1E400, -1e-400, 1e-323]")
@example(b'{"a": {"\\u0061": 1, "a": 1}}')
@example(b'"\\ud83d\\ude00" ')
@example(b'"\\ud83d"')
@example(b'["\\ude00\\ud83d"]')
@example(b"\xef\xbb\xbf1")
@example(b"9223372036854775807")
@example(b"-9223372036854775809")
@example(b"18446744073709551615")
@example(b"1" * 5000)
@example(b"1." + b"1" * 5000)
@example(b"[" * 32 + b"]" * 32)
@example(b"[" * 33 + b"]" * 33)
@example(b"\x0c1")
@example("\u00a01".encode())
@example(b'"\x7f"')
@example(b'"\xed\xa0\x80"')
@example(b"nul")
@example(b"[1,]")
@example(b"1_0")
@example(b".5")
@example(b"5.")
@example(b"1e")
def test_it_reads_what_the_rules_say_to_the_last_digit_and_refuses_the_rest(body: bytes) -> None:
    try:
        expected = exact(reference(body))
    except NotStrict:
        expected = "refused"
    try:
        found = exact(decode(body))
    except JsonInvalid:
        found = "refused"
    assert found == expected
