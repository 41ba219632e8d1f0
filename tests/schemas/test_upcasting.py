from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from touchbook.errors import Rejected
from touchbook.schemas import catalogue as catalogue_module
from touchbook.schemas import shipped_yaml
from touchbook.schemas.catalogue import CATALOGUE, Catalogue
from touchbook.schemas.details import Details
from touchbook.schemas.display import Display, Wording
from touchbook.schemas.mapping import Mapping
from touchbook.schemas.translating import Entry, FirstOf
from touchbook.schemas.upcasting import UPCASTERS, Upcasters

SAMPLES = Path(catalogue_module.__file__).parent / "samples"


class GnomeAdopted(Details):
    """A test's own type in its third version: `who`, then `name` and `height` (cm), now millimetres."""

    type = "gnome_adopted"
    version = 3
    family = "other"
    display = Display("flower", Wording("Took {name} home"), Wording("Гном дома: {name}"))

    name: str
    millimetres: int


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Upcasters:
    """The test's type in the catalogue, with its two upcasters."""
    upcasters = Upcasters()

    @upcasters.register("gnome_adopted", from_version=1)
    def _(data: dict[str, Any]) -> dict[str, Any]:
        return {"name": data.pop("who"), "height": 30, **data}

    @upcasters.register("gnome_adopted", from_version=2)
    def _(data: dict[str, Any]) -> dict[str, Any]:
        return {"millimetres": data.pop("height") * 10, **data}

    monkeypatch.setattr(catalogue_module, "CATALOGUE", {**CATALOGUE, "gnome_adopted": GnomeAdopted})
    monkeypatch.setattr(catalogue_module, "upcast", upcasters.upcast)
    return upcasters


@pytest.mark.parametrize(
    ("version", "data"),
    [
        (1, {"who": "Albert"}),
        (2, {"name": "Albert", "height": 30}),
        (3, {"name": "Albert", "millimetres": 300}),
    ],
)
def test_every_version_is_read_as_the_newest(steps: Upcasters, version: int, data: dict[str, Any]) -> None:
    details = Catalogue(Mapping()).read("gnome_adopted", version, data).details
    assert isinstance(details, GnomeAdopted)
    assert (details.name, details.millimetres) == ("Albert", 300)


def test_fields_nobody_declared_survive_every_step(steps: Upcasters) -> None:
    assert steps.upcast("gnome_adopted", 1, {"who": "Albert", "hat": "red"})["hat"] == "red"


def test_stored_data_is_left_alone(steps: Upcasters) -> None:
    data = {"who": "Albert", "actor": {"kind": "agent"}}
    steps.upcast("gnome_adopted", 1, data)
    assert data == {"who": "Albert", "actor": {"kind": "agent"}}


def test_a_version_beyond_the_newest_is_refused(steps: Upcasters) -> None:
    with pytest.raises(Rejected, match="1 to 3"):
        Catalogue(Mapping()).read("gnome_adopted", 4, {"name": "Albert", "millimetres": 300})


def test_a_mapping_written_for_an_old_version_keeps_working(steps: Upcasters, tmp_path: Path) -> None:
    entry = Entry(
        "Gnome Homed", type="gnome_adopted", version=1, fields={"who": FirstOf(("gnome",), text=True)}
    )
    details = Catalogue(Mapping([entry])).read("Gnome Homed", 1, {"gnome": "Albert"}).details
    assert isinstance(details, GnomeAdopted)
    assert details.millimetres == 300


def test_one_version_cannot_have_two_upcasters(steps: Upcasters) -> None:
    with pytest.raises(TypeError, match="version 1 of 'gnome_adopted'"):
        steps.register("gnome_adopted", from_version=1)(dict)


def test_data_without_a_step_is_given_back(steps: Upcasters) -> None:
    data = {"name": "Albert", "millimetres": 300}
    assert steps.upcast("gnome_adopted", 3, data) is data


def test_the_steps_of_every_type_lead_from_its_first_version_to_its_newest() -> None:
    assert {name: UPCASTERS.reaches(name, 1) for name in CATALOGUE} == {
        name: model.version for name, model in CATALOGUE.items()
    }


def stored_samples() -> list[dict[str, Any]]:
    return [
        sample
        for file in sorted(SAMPLES.glob("*.yaml"))
        for sample in shipped_yaml.read(file.read_text(encoding="utf-8"))
    ]


def test_every_version_of_every_type_has_a_stored_sample_that_is_still_read() -> None:
    read = set()
    for sample in stored_samples():
        assert (
            Catalogue(Mapping()).read(sample["type"], sample["version"], sample["data"]).type
            == sample["type"]
        )
        read.add((sample["type"], sample["version"]))
    assert read == {
        (name, version) for name, model in CATALOGUE.items() for version in range(1, model.version + 1)
    }
