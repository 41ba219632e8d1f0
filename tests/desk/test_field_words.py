"""The data of a touchpoint, laid open: in Russian its labels are Russian, and its choices as the display words them."""

from __future__ import annotations

import re
import types
from typing import Any, Literal, Union, get_args, get_origin

import pytest

from touchbook.api.desk.field_words import FIELDS, field_words, value_words
from touchbook.api.desk.receipts import HIDDEN, TOLD_BY
from touchbook.schemas.catalogue import CATALOGUE

CYRILLIC = re.compile("[а-яё]", re.IGNORECASE)


def is_shown(annotation: Any) -> bool:
    """Whether a value of it may be text or a number; lists, mappings and yes or no are not laid open one by one."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return any(is_shown(one) for one in get_args(annotation))
    if origin is Literal:
        return True
    if hasattr(annotation, "__metadata__"):
        return is_shown(get_args(annotation)[0])
    return isinstance(annotation, type) and annotation is not bool and annotation in (str, int, float)


@pytest.mark.parametrize("type", sorted(CATALOGUE))
def test_every_field_of_ours_is_called_something_in_both_languages(type: str) -> None:
    left_out = HIDDEN | TOLD_BY.get(type, frozenset())
    shown = {
        name
        for name, field in CATALOGUE[type].model_fields.items()
        if name not in left_out and is_shown(field.annotation)
    }
    assert shown <= set(FIELDS)
    assert all(CYRILLIC.search(field_words(name, "ru")) for name in shown)
    assert not any(CYRILLIC.search(field_words(name, "en")) for name in shown)


def test_what_the_display_puts_into_words_is_worded_and_all_else_stays_as_it_was_sent() -> None:
    assert value_words("complaint_raised", "reason", "late_delivery", "ru") == "задержка доставки"
    assert value_words("complaint_raised", "reason", "late_delivery", "en") == "late delivery"
    assert value_words("complaint_raised", "reason", "the_cat", "ru") == "the_cat"
    assert value_words("complaint_raised", "case_id", "late_delivery", "ru") == "late_delivery"
    assert value_words("shop:gift_wrapped", "paper", "late_delivery", "ru") == "late_delivery"
    assert field_words("paper_colour", "ru") == "paper colour"
