from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from touchbook.errors import Rejected
from touchbook.schemas.catalogue import CATALOGUE, Catalogue, Plain, Reading
from touchbook.schemas.details import Details
from touchbook.schemas.mapping import Mapping
from touchbook.schemas.signals import DERIVED_SIGNALS, RESERVED, is_reserved
from touchbook.schemas.touchpoints import by_name

CATALOGUE_ALONE = Catalogue(Mapping())

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=10,
)
field_names = st.text() | st.sampled_from(
    [*Details.model_fields, "type", "signals", "model_config", "source_type"]
)
payloads = st.dictionaries(field_names, json_values, max_size=6)


def read(type: str, data: dict[str, Any] | None = None, version: int = 1) -> Reading:
    return CATALOGUE_ALONE.read(type, version, data or {})


def refusal(type: str, data: dict[str, Any], version: int = 1) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read(type, data, version)
    return caught.value


def mapped(tmp_path: Path, text: str) -> Mapping:
    file = tmp_path / "ours.yaml"
    file.write_text(text, encoding="utf-8")
    return Mapping.load(file, built_in=False)


# Types of ours


def test_a_type_of_ours_is_read_with_its_fields_and_counts_under_its_name() -> None:
    reading = read("session_ended", {"seconds": 540, "screen": "cart"})
    assert (reading.type, reading.family, reading.own_signal) == ("session_ended", "account", "session_ended")
    assert reading.details.model_dump()["seconds"] == 540
    assert reading.details.model_dump()["screen"] == "cart", "unknown fields are kept"


def numeric_fields() -> Iterator[tuple[str, str]]:
    """Every (type, field) that declares a number, by what is published of it."""
    for type, model in CATALOGUE.items():
        for name, said in model.model_json_schema()["properties"].items():
            kinds = {each.get("type") for each in (said, *said.get("anyOf", ()))}
            if kinds & {"integer", "number"} and "string" not in kinds:
                yield type, name


@pytest.mark.parametrize("value", [True, False])
def test_a_truth_value_is_no_number(value: bool) -> None:
    fields = list(numeric_fields())
    assert ("order_placed", "amount") in fields
    for type, field in fields:
        with pytest.raises(ValidationError) as caught:
            CATALOGUE[type].model_validate({field: value})
        wrong = {error["loc"]: error["msg"] for error in caught.value.errors()}
        assert wrong[(field,)] == "Value error, input should be a number, not true or false", (type, field)


def test_a_truth_value_is_no_number_in_a_list_either_nor_as_a_total() -> None:
    order: dict[str, Any] = {"order_id": "7", "currency": "EUR", "total": 12.5}
    refused = refusal("order_placed", order | {"items": [{"quantity": True}]})
    assert (refused.code, refused.field) == ("field_invalid", "items.0.quantity")
    reading = read("order_placed", order | {"total": True})
    assert "spend:EUR" not in {signal.name for signal in reading.details.signals()}
    assert list(reading.details.marks()) == ["money_unreadable"]


def test_what_was_accepted_with_a_truth_value_before_is_a_plain_card() -> None:
    reading = CATALOGUE_ALONE.read_lenient("order_placed", 1, {"order_id": "7", "amount": True})
    assert (type(reading.details), reading.own_signal) == (Plain, "order_placed")


@pytest.mark.parametrize(
    ("field", "value"), [("nps", 11), ("nps", -1), ("csat", 0), ("csat", 6), ("ces", 0), ("ces", 8)]
)
def test_an_answer_beyond_its_scale_is_refused(field: str, value: int) -> None:
    assert refusal("survey_answered", {field: value}).field == field


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("items", "tea", "items: input should be a list"),
        ("items", [5], "items.0: input should be an object"),
        ("items", [{"category": {}}], "items.0.category: input should be a text or a list of texts"),
        ("category", ["tea", 5], "category: input should be a text or a list of texts"),
        ("total", [12.5], "total: input should be a number or text"),
        ("actor", "bot", "actor: input should be an object"),
    ],
)
def test_what_was_expected_is_said_in_words_of_json(field: str, value: Any, expected: str) -> None:
    assert str(refusal("order_placed", {"order_id": "7", field: value})) == expected


def test_a_wrong_field_is_named_by_its_path() -> None:
    assert refusal("session_ended", {"seconds": -1}).field == "seconds"
    assert refusal("link", {"link": ["user_id:1", "nobody"]}).field == "link.1"
    assert refusal("preference_changed", {"hours": {"from": "22:00"}}).field == "hours.to"
    assert refusal("session_ended", {"seconds": 1, "actor": {"kind": "robot"}}).field == "actor.kind"


def test_a_refusal_says_how_many_more_fields_are_wrong() -> None:
    assert "(and 1 more)" in str(refusal("session_ended", {"seconds": "long", "purpose": "spam"}))


@given(st.text(min_size=8, alphabet="äöü7é"))
def test_a_refusal_never_carries_the_value(secret: str) -> None:
    said = str(refusal("link", {"link": [secret, secret], "purpose": secret, "actor": {"kind": secret}}))
    assert secret not in said


@pytest.mark.parametrize("version", [0, -1, 2, 99])
def test_a_version_that_never_was_is_refused(version: int) -> None:
    assert refusal("account_opened", {}, version=version).code == "version_unknown"


def test_reading_leaves_the_data_alone() -> None:
    data = {"link": ["user_id:1", "user_id:2"], "actor": {"kind": "agent"}}
    read("link", data)
    assert data == {"link": ["user_id:1", "user_id:2"], "actor": {"kind": "agent"}}


def test_what_was_accepted_once_is_never_refused_when_folded() -> None:
    reading = CATALOGUE_ALONE.read_lenient("session_ended", 7, {"seconds": "long"})
    assert isinstance(reading.details, Plain)
    assert (reading.type, reading.family, reading.own_signal) == ("session_ended", "account", "session_ended")


def test_two_types_cannot_be_stored_under_one_name() -> None:
    with pytest.raises(TypeError, match="alias"):
        by_name([CATALOGUE["alias"], CATALOGUE["alias"]])


def test_no_type_is_named_like_a_signal_of_another_meaning() -> None:
    assert not CATALOGUE.keys() & DERIVED_SIGNALS
    assert not [name for name in CATALOGUE if is_reserved(name)]


def test_a_pattern_is_declared_by_its_prefix_alone() -> None:
    assert {name for name in DERIVED_SIGNALS if ":" in name} <= set(RESERVED)


def test_every_type_reads_in_both_languages_on_no_data_worth_showing() -> None:
    for model in CATALOGUE.values():
        for language in ("en", "ru"):
            headline, _ = model.display.read({}, language)  # type: ignore[arg-type]
            assert headline.strip(" –:,"), model.type


# Unknown types


def test_an_unknown_type_is_a_plain_card_with_only_its_own_signal() -> None:
    reading = read("Garden Gnome Adopted", {"gnome": "Albert", "thread": "g-1"})
    assert isinstance(reading.details, Plain)
    assert (reading.type, reading.family) == ("Garden Gnome Adopted", "other")
    assert (reading.own_signal, list(reading.details.signals())) == ("Garden Gnome Adopted", [])
    assert reading.extra_signals == ()
    assert reading.details.model_dump()["gnome"] == "Albert"
    assert reading.details.thread == "g-1", "common fields that fit are understood"


def test_a_plain_card_frames_the_sources_own_word() -> None:
    details = read("Gnome Adopted").details
    assert details.display.read(details.model_dump(), "en") == ("Recorded: Gnome Adopted", "")
    assert details.display.read(details.model_dump(), "ru") == ("Записано событие «Gnome Adopted»", "")


@given(payloads)
def test_no_payload_of_an_unknown_type_is_ever_refused(data: dict[str, Any]) -> None:
    reading = read("Gnome Adopted", data, version=12)
    headline, _ = reading.details.display.read(reading.details.model_dump(), "en")
    assert headline == "Recorded: Gnome Adopted"
    assert list(reading.details.signals()) == []


@given(st.sampled_from(sorted(name for name in DERIVED_SIGNALS if not is_reserved(name))))
def test_an_unknown_type_named_like_a_derived_signal_gives_none(name: str) -> None:
    assert read(name).own_signal is None


@given(st.sampled_from(RESERVED), st.text(max_size=20))
def test_an_unknown_type_named_like_a_reserved_pattern_gives_none(prefix: str, rest: str) -> None:
    assert read(prefix + rest).own_signal is None


def test_an_unknown_type_with_an_endless_name_gives_no_signal() -> None:
    assert read("x" * 100).own_signal == "x" * 100
    assert read("x" * 101).own_signal is None


# With a mapping


def test_an_unknown_type_may_be_given_signals(tmp_path: Path) -> None:
    catalogue = Catalogue(mapped(tmp_path, "Till Receipt: {signals: [purchase, visit]}"))
    reading = catalogue.read("Till Receipt", 1, {"sum": 3})
    assert isinstance(reading.details, Plain)
    assert [signal.name for signal in reading.extra_signals] == ["purchase", "visit"]
    assert reading.own_signal == "Till Receipt"


def test_a_name_that_a_mapping_gives_as_a_new_signal_is_taken(tmp_path: Path) -> None:
    catalogue = Catalogue(mapped(tmp_path, "Till Receipt: {signals: [gnome], new: true}"))
    assert catalogue.read("gnome", 1, {}).own_signal is None
    assert read("gnome").own_signal == "gnome"


def test_a_mapped_types_errors_name_the_senders_field(tmp_path: Path) -> None:
    catalogue = Catalogue(
        mapped(tmp_path, "Visit Over: {type: session_ended, fields: {seconds: [stats.duration, length]}}")
    )
    with pytest.raises(Rejected) as wrong:
        catalogue.read("Visit Over", 1, {"length": "long"})
    with pytest.raises(Rejected) as missing:
        catalogue.read("Visit Over", 1, {})
    assert (wrong.value.field, missing.value.field) == ("length", "stats.duration")


def test_a_source_field_that_happens_to_bear_our_name_counts_only_if_it_fits(tmp_path: Path) -> None:
    catalogue = Catalogue(mapped(tmp_path, "Visit Over: {type: session_ended, fields: {seconds: length}}"))
    details = catalogue.read(
        "Visit Over", 1, {"length": 4, "campaign": "may", "location": {"city": "Riga"}}
    ).details
    assert (details.campaign, details.location) == ("may", None)


def test_fields_said_to_be_ours_must_fit(tmp_path: Path) -> None:
    catalogue = Catalogue(mapped(tmp_path, "Visit Over: {type: session_ended}"))
    assert catalogue.read("Visit Over", 1, {"seconds": 3}).type == "session_ended"
    with pytest.raises(Rejected) as caught:
        catalogue.read("Visit Over", 1, {"seconds": 3, "location": {"city": "Riga"}})
    assert caught.value.field == "location"


def test_mapped_data_that_no_longer_fits_still_folds_as_our_type(tmp_path: Path) -> None:
    catalogue = Catalogue(mapped(tmp_path, "Visit Over: {type: session_ended, fields: {seconds: length}}"))
    reading = catalogue.read_lenient("Visit Over", 1, {})
    assert (reading.type, reading.own_signal) == ("session_ended", "session_ended")
    assert isinstance(reading.details, Plain)


# The fingerprint


@pytest.mark.parametrize(
    "changed",
    [
        "Visit Over: {type: session_ended, fields: {seconds: duration}}",
        "Visit Over: {type: session_ended, fields: {seconds: {whole: length}}}",
        "Visit Over: {type: session_ended, fields: {seconds: length, pages: n}}",
        "Visit Over: {signals: [visit]}",
        "Visit Ended: {type: session_ended, fields: {seconds: length}}",
        "",
    ],
)
def test_the_fingerprint_changes_with_the_mapping(tmp_path: Path, changed: str) -> None:
    before = Catalogue(mapped(tmp_path, "Visit Over: {type: session_ended, fields: {seconds: length}}"))
    assert Catalogue(mapped(tmp_path, changed)).fingerprint != before.fingerprint


def test_the_fingerprint_does_not_change_with_the_order_of_entries(tmp_path: Path) -> None:
    one, other = "Visit Over: {type: session_ended}\n", "Till Receipt: {signals: [purchase]}\n"
    assert (
        Catalogue(mapped(tmp_path, one + other)).fingerprint
        == Catalogue(mapped(tmp_path, other + one)).fingerprint
    )


def test_the_fingerprint_changes_with_a_types_version_and_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Catalogue(Mapping()).fingerprint
    with monkeypatch.context() as patch:
        patch.setattr(CATALOGUE["alias"], "version", 2)
        assert Catalogue(Mapping()).fingerprint != before
    with monkeypatch.context() as patch:
        patch.setattr(CATALOGUE["alias"], "gives", ("visit",))
        assert Catalogue(Mapping()).fingerprint != before
    assert Catalogue(Mapping()).fingerprint == before
