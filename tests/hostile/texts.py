"""JSON, and what somebody could take for it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [
        "",
        "\0",
        "e\u0301",
        "\u00e9",
        "\ufb01",
        "\u2028",
        "😀",
        "\u202e",
        "null",
        "1",
        "type",
        "userId",
        "identifiers",
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.sampled_from([0, 1, 0.0, -0.0, 1.0, 5e-324, 1.7976931348623157e308, 2**53 + 1, 2**63 - 1, -(2**63)])
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=4)

TOKENS = [
    "{", "}", "[", "]", ",", ":", '"a"', '"b"', '"\\u0061"', '"\\ud83d"', '"\\ude00"', '"\\ud83d\\ude00"', "0",
    "-0", "1", "-1",
    "01", "1.0", "-0.0", "1e400", "-1e400", "1e-400", "0e-400", "1E2", ".5", "5.", "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809", "NaN", "Infinity", "-Infinity", "nan", "true", "false", "null", "None", " ", "\n",
    "\t", "\x0c",
    "\u00a0", "\ufeff", '"', "\\", "//", "'a'", '"\t"', "[[[[[[[[", "]]]]]]]]", '{"a":', "[[[[[[[[[[[[[[[[",
    "]]]]]]]]]]]]]]]]",
]  # fmt: skip


@st.composite
def mangled(draw: st.DrawFn, texts: st.SearchStrategy[bytes]) -> bytes:
    """A text with some of its bytes replaced by something else that JSON is made of, or is not."""
    text = draw(texts)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 4)))
        piece = draw(st.sampled_from(TOKENS).map(str.encode) | st.binary(max_size=3))
        text = text[:start] + piece + text[end:]
    return text


def text_of(value: Any, escaped: bool) -> bytes:
    return json.dumps(value, ensure_ascii=escaped).encode()


JSON_TEXTS = st.builds(text_of, VALUES, st.booleans())
MANGLED = mangled(JSON_TEXTS)
OF_TOKENS = st.lists(st.sampled_from(TOKENS), max_size=12).map(lambda tokens: "".join(tokens).encode())
