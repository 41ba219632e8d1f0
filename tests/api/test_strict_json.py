from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchbook.schemas.strict_json import MAX_DEPTH, JsonInvalid, decode

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=30)


@given(VALUES, st.booleans())
def test_all_that_two_readers_understand_alike_is_read(value: Any, escaped: bool) -> None:
    assert decode(json.dumps(value, ensure_ascii=escaped).encode()) == value


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "expected JSON"),
        (b"{", "expected JSON"),
        (b"1 2", "expected JSON"),
        (b"\xff", "UTF-8"),
        (b'{"a": 1, "a": 1}', "at most once"),
        (b'[{"x": {"a": 1, "b": 2, "a": 3}}]', "at most once"),
        (b'{"\\u0061": 1, "a": 1}', "at most once"),
        (b"NaN", "NaN and Infinity are none"),
        (b"[-Infinity]", "NaN and Infinity are none"),
        (b"9223372036854775808", "64 bits"),
        (b"-9223372036854775809", "64 bits"),
        (b"9" * 5000, "64 bits"),
        (b"1e999", "64-bit float"),
        (b"-1e999", "64-bit float"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\uDFFF": 1}', "surrogate"),
        (b'["\\ud83d\\u0020"]', "surrogate"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "deep"),
        (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "deep"),
        (b"[" * 1_000_000, "deep"),
        (b'"\x01"', "expected JSON"),
    ],
)
def test_what_they_could_understand_differently_is_an_error_that_says_what_was_expected(
    body: bytes, expected: str
) -> None:
    with pytest.raises(JsonInvalid, match=expected):
        decode(body)


def test_what_is_just_within_the_bounds_is_read() -> None:
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert json.dumps(decode(deepest)).encode() == deepest
    assert decode(b"[9223372036854775807,-9223372036854775808]") == [2**63 - 1, -(2**63)]
    assert decode(b'"\\ud83d\\ude00"') == "😀"


@given(TEXT)
def test_an_error_never_quotes_what_was_sent(text: str) -> None:
    for body in (
        json.dumps({"ann": text})[:-1],
        json.dumps(["ann", text])[:-1] + ",NaN]",
        f'{{"ann":1,"ann":{json.dumps(text)}}}',
    ):
        with pytest.raises(JsonInvalid) as caught:
            decode(body.encode())
        assert "ann" not in str(caught.value)
