"""Files of touchpoints and what their columns mean."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchbook.cli.columns import Columns, field_path
from touchbook.cli.inputs import Line, Unreadable, csv_lines, json_lines

texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=8)
items = st.dictionaries(
    texts, st.none() | st.booleans() | st.integers(-9, 9) | texts | st.lists(texts, max_size=2)
)
cells = st.text("abc ёЖ,;\"'\t.0", max_size=6)

HEADER = ["type", "user_id", "time", "note", "actor.name"]


def read(text: str | bytes) -> list[Line]:
    return list(json_lines(io.BytesIO(text.encode() if isinstance(text, str) else text)))


def rows_of(header: Sequence[str], rows: Sequence[Sequence[str]], delimiter: str = ",") -> list[Line]:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter).writerows([header, *rows])
    return list(csv_lines(io.BytesIO(file.getvalue().encode()), lambda names: Columns(names, {}, {}, "shop")))


def item(row: Sequence[str], header: Sequence[str] = HEADER, **mapping: str) -> dict[str, Any]:
    return Columns(header, mapping, {}, "shop").item(row)


@given(st.lists(items), st.booleans())
def test_lines_an_array_and_a_pretty_printed_array_hold_the_same_items(
    given_items: list[Any], bom: bool
) -> None:
    first = "\ufeff" if bom else ""
    lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in given_items)
    assert [line.item for line in read(first + lines)] == given_items
    assert [line.item for line in read(first + json.dumps(given_items))] == given_items
    assert [line.item for line in read(first + json.dumps(given_items, indent=1))] == given_items


@given(
    st.lists(st.sampled_from(['{"a": 1}', "", "no json", "[1]", '[{"a": 1}, {"a": 1}]', "null"]), min_size=1)
)
def test_every_line_is_an_item_or_told_by_its_number(texts_of_lines: list[str]) -> None:
    lines = read("{}\n" + "\n".join(texts_of_lines))
    expected = {'{"a": 1}': [True], "": [], "no json": [False], "[1]": [False], "null": [False]}
    wanted = [(1, True)]
    for number, text in enumerate(texts_of_lines, 2):
        wanted += [(number, is_item) for is_item in expected.get(text, [True, True])]
    assert [(line.number, not isinstance(line.item, Unreadable)) for line in lines] == wanted


def test_what_is_no_json_is_told_without_quoting_it() -> None:
    (line,) = read('{"email": "ann@example.test", }')
    assert isinstance(line.item, Unreadable)
    assert "ann" not in line.item.message


def test_one_pretty_printed_item_alone_is_one_item() -> None:
    assert [line.item for line in read('{\n "a": 1\n}\n')] == [{"a": 1}]


@given(st.lists(st.tuples(cells, cells), min_size=1), st.sampled_from(",;\t|"))
def test_rows_are_read_with_whichever_delimiter_the_header_has(
    values: list[tuple[str, str]], delimiter: str
) -> None:
    rows = [["walk", "42", "", note, name] for note, name in values]
    found = rows_of(HEADER, rows, delimiter)
    assert [line.item for line in found] == [item(row) for row in rows]
    assert found[-1].read == sum(line.size for line in found) + len(delimiter.join(HEADER)) + len("\r\n")


@given(st.lists(cells, min_size=5, max_size=5), st.permutations(range(5)))
def test_the_same_row_is_the_same_touchpoint_in_whatever_order_of_columns(
    row: list[str], order: list[int]
) -> None:
    assert item(row) == item([row[place] for place in order], [HEADER[place] for place in order])


@given(st.lists(cells, min_size=5, max_size=5), st.lists(cells, min_size=5, max_size=5))
def test_rows_that_say_something_else_get_other_ids(one: list[str], other: list[str]) -> None:
    say_the_same = [cell.strip() for cell in one] == [cell.strip() for cell in other]
    assert (item(one)["messageId"] == item(other)["messageId"]) == say_the_same


def test_an_id_of_its_own_is_kept() -> None:
    assert item(["walk", "42", "W-1"], ["type", "user_id", "id"])["messageId"] == "W-1"


def test_identifiers_that_a_call_can_carry_make_a_call() -> None:
    header = ["type", "user_id", "anonymous_id", "device", "channel", "time", "actor.kind", "data.channel"]
    made = item(["walk", "42", "a-1", "d-1", "store", "2026-01-01T00:00:00Z", "agent", "left"], header)
    made.pop("messageId")
    assert made == {
        "type": "track",
        "event": "walk",
        "timestamp": "2026-01-01T00:00:00Z",
        "userId": "42",
        "anonymousId": "a-1",
        "context": {"channel": "store", "device": {"id": "d-1"}},
        "properties": {"actor": {"kind": "agent"}, "channel": "left"},
    }


def test_other_identifiers_make_an_event_of_the_source() -> None:
    made = item(["walk", "42", "L-1", "7"], ["type", "user_id", "loyalty_card", "steps"])
    made.pop("id")
    assert made == {
        "specversion": "1.0",
        "source": "shop",
        "type": "walk",
        "data": {"identifiers": {"user_id": "42", "loyalty_card": "L-1"}, "steps": "7"},
    }


def test_the_shape_follows_from_the_columns_and_not_from_the_row() -> None:
    """So that a row without an e-mail is the same touchpoint before and after somebody fills another one's."""
    assert "specversion" in item(["walk", "42", ""], ["type", "user_id", "email"])


def test_a_column_mapped_to_nothing_is_left_out() -> None:
    assert "secret" not in json.dumps(item(["walk", "42", "secret"], ["type", "user_id", "note"], note=""))


@pytest.mark.parametrize(
    ("field", "path"),
    [
        ("time", ("time",)),
        ("user_id", ("identifiers", "user_id")),
        ("identifiers.user_id", ("identifiers", "user_id")),
        ("data.user_id", ("data", "user_id")),
        ("total", ("data", "total")),
        ("actor.name", ("data", "actor", "name")),
        ("identifiers", ("data", "identifiers")),
        ("", ()),
    ],
)
def test_a_field_goes_where_its_name_says(field: str, path: tuple[str, ...]) -> None:
    assert field_path(field) == path
