"""The template language of the timeline."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchbook.schemas.catalogue import CATALOGUE
from touchbook.schemas.display import LANGUAGES, Language, Wording, parsed, render

SOME_WORDS = Wording("", words={"open": "offen", "true": "internal", "false": ""})
NBSP = "\xa0"


def said(template: str, language: Language = "en", /, **fields: Any) -> str:
    return render(template, fields, SOME_WORDS, language)


def test_a_field_stands_where_its_braces_are() -> None:
    assert said("Order {order_id} placed", order_id="10482") == "Order 10482 placed"


def test_a_dotted_path_reaches_into_a_mapping() -> None:
    assert said("by {actor.name}", actor={"name": "Vera"}) == "by Vera"
    assert said("by {actor.name}", actor="Vera") == "by –"


@pytest.mark.parametrize("nothing", [None, "", "  ", [], (), {}])
def test_a_stretch_is_left_out_when_a_field_in_it_has_nothing_to_say(nothing: Any) -> None:
    assert said("Chat[ about {topic}]", topic=nothing) == "Chat"
    assert said("Chat[ about {topic}]") == "Chat"
    assert said("Chat about {topic}", topic=nothing) == "Chat about –"


def test_zero_and_no_are_something_to_say() -> None:
    assert said("[{count|number} points]", count=0) == "0 points"
    assert said("[{sure}]", sure=False) == "no"


def test_a_stretch_that_comes_first_loses_its_separator() -> None:
    assert said("[{a}][ · {b}]", b="two") == "two"
    assert said("[{a}][ · {b}]", a="one", b="two") == "one · two"


def test_only_the_templates_separator_is_lost_never_the_values() -> None:
    assert said("[{a}][ · {b}]", b=", well") == ", well"


@pytest.mark.parametrize(
    ("amount", "currency", "english", "russian"),
    [
        (125050, "EUR", "€1,250.50", f"1{NBSP}250,50{NBSP}€"),
        (125050, "RUB", f"RUB{NBSP}1,250.50", f"1{NBSP}250,50{NBSP}₽"),
        (1200, "JPY", "¥1,200", f"1{NBSP}200{NBSP}¥"),
        (1234, "KWD", f"KWD{NBSP}1.234", f"1,234{NBSP}KWD"),
        (-700, "USD", "-$7.00", f"-7,00{NBSP}$"),
    ],
)
def test_money_has_the_currencys_own_decimals(amount: int, currency: str, english: str, russian: str) -> None:
    assert said("{amount|money}", amount=amount, currency=currency) == english
    assert said("{amount|money}", "ru", amount=amount, currency=currency) == russian


@pytest.mark.parametrize("currency", [None, "XXQ", "XAU", 978])
def test_money_without_a_known_currency_is_not_guessed(currency: Any) -> None:
    assert said("Paid[ {amount|money}]", amount=500, currency=currency) == "Paid"


def test_the_currency_of_nested_money_is_its_sibling() -> None:
    inner = {"amount": 100, "currency": "EUR"}
    assert said("{refund.amount|money}", refund=inner, currency="USD") == "€1.00"


AT_NOON = datetime(2026, 3, 4, 12, 5, tzinfo=timezone(timedelta(hours=3)))


@pytest.mark.parametrize(
    ("template", "language", "expected"),
    [
        ("{at|date}", "en", "4 March 2026"),
        ("{at|date}", "ru", "4 марта 2026"),
        ("{at|day}", "ru", "4 марта"),
        ("{at|datetime}", "en", "4 March 2026, 12:05 UTC+3"),
        ("{at|datetime}", "ru", "4 марта 2026, 12:05 UTC+3"),
    ],
)
def test_times_read_in_the_offset_they_were_said_in(template: str, language: Language, expected: str) -> None:
    assert said(template, language, at=AT_NOON) == expected
    assert said(template, language, at=AT_NOON.isoformat()) == expected


def test_a_page_in_a_zone_tells_moments_by_its_clock_and_days_as_they_are() -> None:
    zone = ZoneInfo("Asia/Tokyo")
    for template, at, expected in (
        ("{at|datetime}", "2026-03-04T23:05:00+03:00", "5 March 2026, 05:05"),
        ("{at|date}", "2026-03-04T23:05:00+03:00", "5 March 2026"),
        ("{at|day}", "2026-03-04T23:05:00+03:00", "5 March"),
        ("{at|date}", "2026-03-04", "4 March 2026"),
        ("[at {at|datetime}]", "2026-03-04T12:05:00", "at 4 March 2026, 12:05"),
    ):
        assert render(template, {"at": at}, SOME_WORDS, "en", zone) == expected


def test_times_as_numbers_are_milliseconds_and_days_are_days() -> None:
    milliseconds = int(datetime(2026, 3, 4, 9, 5, tzinfo=UTC).timestamp() * 1000)
    assert said("{at|datetime}", at=milliseconds) == "4 March 2026, 09:05 UTC"
    assert said("{at|day}", at=(date(2026, 3, 4) - date(1970, 1, 1)).days) == "4 March"
    assert said("{at|date}", at="2026-03-04") == "4 March 2026"


@pytest.mark.parametrize(
    ("seconds", "english", "russian"),
    [
        (0, "0 s", "0 с"),
        (59, "59 s", "59 с"),
        (125, "2 min 5 s", "2 мин 5 с"),
        (3600, "1 h", "1 ч"),
        (3605, "1 h", "1 ч"),
        (97_200, "1 d 3 h", "1 дн. 3 ч"),
    ],
)
def test_a_duration_names_its_two_largest_units(seconds: int, english: str, russian: str) -> None:
    assert said("{s|duration}", s=seconds).replace(NBSP, " ") == english
    assert said("{s|duration}", "ru", s=seconds).replace(NBSP, " ") == russian


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, "1 день"), (2, "2 дня"), (5, "5 дней"), (11, "11 дней"), (21, "21 день"), (1.5, "1,5 дня")],
)
def test_russian_counts_take_three_forms(count: float, expected: str) -> None:
    assert said("{n|plural:день,дня,дней}", "ru", n=count).replace(NBSP, " ") == expected


def test_english_counts_take_two_forms() -> None:
    singular, plural = (said("{n|plural:message,messages}", n=count) for count in (1, 3000))
    assert (singular, plural) == (f"1{NBSP}message", f"3,000{NBSP}messages")


def test_enumerated_values_are_worded_or_shown_as_they_are() -> None:
    assert said("{stage|words}", stage="open") == "offen"
    assert said("{stage|words}", stage="credit_check") == "credit check"


def test_several_values_are_worded_each_and_said_once() -> None:
    assert said("{stages|words}", stages=["open", "credit_check", "open"]) == "offen, credit check"


def test_of_a_mapping_its_code_is_worded_and_its_rule_named() -> None:
    reasons = [
        {"code": "open", "rule": "offers a week", "detail": "2 of 2"},
        {"code": "too_late"},
        {"rule": "x"},
    ]
    assert said("{reasons|words}", reasons=reasons) == "offen (offers a week), too late"


def test_a_value_worded_as_nothing_takes_its_stretch_along() -> None:
    assert said("Note[, {internal|words}]", internal=True) == "Note, internal"
    assert said("Note[, {internal|words}]", internal=False) == "Note"


def test_stars_are_out_of_five() -> None:
    assert [said("{r|stars}", r=rating) for rating in (0, 3, 4.5, 9)] == ["☆☆☆☆☆", "★★★☆☆", "★★★★★", "★★★★★"]


def test_a_list_names_its_elements_and_how_many_of_each() -> None:
    items = [{"name": "Lamp", "quantity": 2}, {"title": "Throw"}, "Box", None]
    assert said("{items|join}", items=items) == "Lamp ×2, Throw, Box"
    assert said("{items|join}", items=list(range(12))).endswith("8, 9, …")


@given(st.text())
def test_short_is_one_line_of_at_most_140_characters(text: str) -> None:
    shown = said("{text|short}", text=text)
    assert "\n" not in shown
    assert len(shown) <= 141


def test_braces_and_brackets_in_values_mean_nothing() -> None:
    hostile = "[{secret}] {amount|money} ]["
    assert said("{text}[: {text|short}]", text=hostile, secret="!") == f"{hostile}: {hostile}"


def test_control_characters_of_values_are_taken_out() -> None:
    assert said("{text}", text="\x1b[31mred\x1b[0m\x00\u009b2J") == "[31mred[0m2J"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.text(max_size=30)
    | st.datetimes(timezones=st.none() | st.just(UTC))
    | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["name", "currency", "quantity", "a"]), inner, max_size=3)
    ),
    max_leaves=6,
)
FORMATS = [
    "", "|money", "|date", "|datetime", "|day", "|duration", "|number", "|stars", "|join", "|words",
    "|plural:a,b,c", "|short",
]  # fmt: skip


@given(
    value=json_values,
    currency=json_values | st.sampled_from(["EUR", "JPY"]),
    format=st.sampled_from(FORMATS),
    language=st.sampled_from(LANGUAGES),
)
def test_no_value_makes_rendering_fail(value: Any, currency: Any, format: str, language: Language) -> None:
    for path in ("a", "a.a"):
        template = f"{{{path}{format}}}[ and {{{path}{format}}}]"
        assert isinstance(said(template, language, a=value, currency=currency), str)


def test_an_integer_of_thousands_of_digits_is_survived() -> None:
    assert [said("{n" + format + "}", n=10**5000) for format in FORMATS] == ["–"] * len(FORMATS)


@pytest.mark.parametrize(
    "template",
    ["{", "a}", "[{a}", "{a}]", "[[{a}]]", "[]", "{a|nonsense}", "{a|plural}", "{a|money:EUR}", "{a b}"],
)
def test_a_broken_template_is_its_authors_mistake(template: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parsed(template)


def test_every_template_of_the_catalogue_keeps_the_language() -> None:
    for model in CATALOGUE.values():
        for wording in (model.display.en, model.display.ru):
            assert parsed(wording.headline)
            parsed(wording.detail)
