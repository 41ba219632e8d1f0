"""JSON as this product reads it: what two readers could understand differently is an error, not a guess.

Measured on recorded calls of Segment's SDK: 6 µs for one call of 370 bytes, 11 ms for a batch of 780 KB; `json.loads`
without any of these checks takes 3.7 µs and 5.5 ms.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

MAX_DEPTH = 32
SMALLEST, LARGEST = -(2**63), 2**63 - 1
LONGEST = 4_000
"""Digits of an integer that is looked at at all; reading one takes the square of their number."""


class JsonInvalid(ValueError):
    """The bytes are not JSON as it is read here. The message says what was expected and never quotes a value."""


def decode(body: bytes) -> Any:
    """The value the bytes stand for: objects as dicts, arrays as lists, numbers as int or float.

    Raises `JsonInvalid` for bytes that are not UTF-8 or not JSON, a field that stands twice in one object, NaN and
    infinities, integers outside 64 bits, half surrogate pairs, and nesting deeper than 32.
    """
    text = _text(body)
    value = _decoded(text, _STRICT)
    _check_depth(value)
    if "\\ud" in text or "\\uD" in text:
        _check_surrogates(value)
    return value


def decode_loosely(body: bytes) -> Any:
    """The same, but values that `decode` refuses are let through, so that `check` can tell which part has them."""
    return _decoded(_text(body), _LOOSE)


def check(value: Any) -> None:
    """Raises `JsonInvalid` where `decode` would have refused the value for what it holds."""
    _check_depth(value)
    _check_surrogates(value)
    try:
        _decoded(json.dumps(value), _STRICT)
    except RecursionError:
        raise JsonInvalid(_TOO_DEEP) from None


def fault_of(value: Any) -> str | None:
    """Why `check` would refuse the value; None where it would not."""
    try:
        check(value)
    except JsonInvalid as error:
        return str(error)
    return None


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise JsonInvalid("expected JSON in UTF-8") from None


def _decoded(text: str, decoder: json.JSONDecoder) -> Any:
    try:
        return decoder.decode(text)
    except json.JSONDecodeError as error:
        raise JsonInvalid(f"expected JSON: line {error.lineno}, column {error.colno} is not") from None
    except RecursionError:
        raise JsonInvalid(_TOO_DEEP) from None


_TOO_DEEP = f"expected objects and arrays nested at most {MAX_DEPTH} deep"
_CONTAINERS = (dict, list)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise JsonInvalid("expected each field at most once in an object")
    return fields


def _integer(digits: str) -> int:
    if len(digits) > 20 or not SMALLEST <= (number := int(digits)) <= LARGEST:
        raise JsonInvalid(_NO_INTEGER if len(digits) < 309 else _INFINITE)
    return number


def _fraction(digits: str) -> float:
    number = float(digits)
    if number - number != 0.0 or (number == 0.0 and _SOMETHING.search(digits)):
        raise JsonInvalid(_OUT_OF_RANGE)
    return number


def _constant(_: str) -> NoReturn:
    raise JsonInvalid("expected JSON numbers; NaN and Infinity are none")


def _long_integer(digits: str) -> int:
    if len(digits) > LONGEST:
        raise JsonInvalid(_NO_INTEGER)
    return int(digits)


def _long_fraction(digits: str) -> float | int:
    """One that no float holds, as the integer that it is: so it is kept as sent, and `check` finds it."""
    number = float(digits)
    if number - number == 0.0:
        return _fraction(digits)
    try:
        exact = Decimal(digits)
    except InvalidOperation:  # the exponent alone is too long
        raise JsonInvalid(_OUT_OF_RANGE) from None
    if exact.adjusted() > LONGEST or exact != exact.to_integral_value():
        raise JsonInvalid(_OUT_OF_RANGE)
    return int(exact)


_NO_INTEGER = "expected integers within 64 bits; send a longer one as text"
_INFINITE = "expected integers within 64 bits, and no number that a float takes for Infinity; send it as text"
_OUT_OF_RANGE = "expected numbers within the range of a 64-bit float"
_SOMETHING = re.compile(r"^[^eE]*[1-9]")
"""A digit that is not nothing, before the exponent: the number is not zero, whatever a float makes of it."""

_STRICT = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_fraction, parse_constant=_constant
)
_LOOSE = json.JSONDecoder(object_pairs_hook=_object, parse_int=_long_integer, parse_float=_long_fraction)


def _check_depth(value: Any) -> None:
    """Level by level, so that the nesting of what was sent never becomes nesting of ours."""
    level = [value] if type(value) in _CONTAINERS else []
    for _ in range(MAX_DEPTH):
        if not level:
            return
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
    if level:
        raise JsonInvalid(_TOO_DEEP)


def _check_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise JsonInvalid("expected whole characters: a half of a surrogate pair stands alone") from None
