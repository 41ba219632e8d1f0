"""Every stored sample gives exactly the headline, detail and signals it states; every type has one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from touchbook.schemas import details as details_module
from touchbook.schemas import shipped_yaml
from touchbook.schemas.catalogue import CATALOGUE
from touchbook.schemas.details import Details
from touchbook.schemas.display import LANGUAGES
from touchbook.schemas.upcasting import upcast

FOLDER = Path(details_module.__file__).parent / "samples"
SAMPLES: list[tuple[str, dict[str, Any]]] = [
    (file.stem, sample)
    for file in sorted(FOLDER.glob("*.yaml"))
    for sample in shipped_yaml.read(file.read_text("utf-8"))
]


def read(sample: dict[str, Any]) -> Details:
    lifted = upcast(sample["type"], sample["version"], sample["data"])
    return CATALOGUE[sample["type"]].model_validate(lifted)


def signals_of(details: Details) -> dict[str, int]:
    """Signal -> total, the type's own name among them."""
    totals = Counter({details.type: 0})
    for name, total in details.signals():
        totals[name] += total
    return dict(totals)


def given_by(model: type[Details], signal: str) -> bool:
    """Whether the type says that it gives this signal; a family stands as its prefix, `interest:`."""
    family, colon, _ = signal.partition(":")
    return signal == model.type or family + colon in model.gives


each_sample = pytest.mark.parametrize(
    ("family", "sample"),
    [
        pytest.param(family, sample, id=f"{sample['type']}-{at}")
        for at, (family, sample) in enumerate(SAMPLES)
    ],
)
each_type = pytest.mark.parametrize(
    "model", [pytest.param(each, id=name) for name, each in CATALOGUE.items()]
)


@each_sample
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_sample_reads_on_the_timeline_as_it_states(
    family: str, sample: dict[str, Any], language: str
) -> None:
    details = read(sample)
    expected = (sample[language]["headline"], sample[language]["detail"])
    assert details.display.read(details.model_dump(), language) == expected


@each_sample
def test_a_sample_gives_exactly_the_signals_it_states(family: str, sample: dict[str, Any]) -> None:
    assert signals_of(read(sample)) == sample["signals"]


@each_sample
def test_a_type_declares_every_signal_it_gives(family: str, sample: dict[str, Any]) -> None:
    details = read(sample)
    assert [name for name in signals_of(details) if not given_by(type(details), name)] == []


@each_sample
def test_a_sample_has_the_family_direction_audience_and_marks_it_states(
    family: str, sample: dict[str, Any]
) -> None:
    details = read(sample)
    assert details.family == family
    assert details.taken_direction() == sample["direction"]
    assert details.shown_to_customer() is sample["shown_to_customer"]
    assert list(details.marks()) == sample.get("marks", [])


@each_sample
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_headline_is_never_just_the_types_name(family: str, sample: dict[str, Any], language: str) -> None:
    headline = sample[language]["headline"]
    assert headline.casefold().replace(" ", "_") != sample["type"]
    assert "–" not in headline.split()


@each_sample
def test_reading_the_fields_as_json_says_the_same(family: str, sample: dict[str, Any]) -> None:
    details = read(sample)
    for language in LANGUAGES:
        plain = details.display.read(details.model_dump(mode="json"), language)
        assert plain == details.display.read(details.model_dump(), language)


@each_type
def test_every_type_has_a_sample_of_every_version(model: type[Details]) -> None:
    versions = {sample["version"] for _, sample in SAMPLES if sample["type"] == model.type}
    assert versions == set(range(1, model.version + 1))


@each_type
def test_every_signal_a_type_can_give_is_given_by_one_of_its_samples(model: type[Details]) -> None:
    given = {
        name if name in model.gives else name.partition(":")[0] + ":"
        for _, sample in SAMPLES
        if sample["type"] == model.type
        for name in sample["signals"]
    }
    assert set(model.gives) - given == set()


@each_type
def test_every_type_speaks_both_languages(model: type[Details]) -> None:
    english, russian = model.display.en, model.display.ru
    assert any("а" <= letter <= "я" for letter in russian.headline.casefold()) or russian.words
    assert english.headline != russian.headline
    assert english.words.keys() <= russian.words.keys()
    assert bool(english.detail) == bool(russian.detail)
