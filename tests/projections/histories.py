"""Random histories: any type, any of few identifiers, any day; late, repeated, linked and un-linked."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import strategies as st

from tests.books import event
from touchbook.schemas import shipped_yaml
from touchbook.schemas.catalogue import CATALOGUE
from touchbook.streams.admission import OURS_ALONE

PEOPLE: list[dict[str, str]] = [
    {"user_id": "u1"},
    {"user_id": "u2"},
    {"user_id": "u3"},
    {"anonymous_id": "a1"},
    {"anonymous_id": "a2"},
    {"email": "bo@example.test"},
    {"phone": "+79990001122"},
    {"device": "d1"},
    {"user_id": "u1", "anonymous_id": "a1"},
    {"user_id": "u2", "anonymous_id": "a1"},
    {"user_id": "u2", "email": "Bo@Example.test"},
    {"user_id": "u3", "email": "bo@example.test"},
    {"loyalty_card": "c1", "anonymous_id": "a2"},
    {"user_id": "u1", "loyalty_card": "c1"},
    {"user_id": "null", "anonymous_id": "a3"},
    {"device": "d1", "anonymous_id": "a3"},
    {"phone": "+7 999 000-11-22", "user_id": "u3"},
]
NAMED = [
    "user_id:u1",
    "user_id:u2",
    "user_id:u3",
    "anonymous_id:a1",
    "email:bo@example.test",
    "device:d1",
    "loyalty_card:c1",
]
THREADS = ["t1", "t2", None]


@cache
def samples(ours: bool = False) -> list[tuple[str, dict[str, Any]]]:
    """(type, data) of every stored sample but agents' links, which are drawn apart; with `ours` of the types too that
    nobody but the server itself may say."""
    from importlib import resources

    found = []
    for file in resources.files("touchbook.schemas").joinpath("samples").iterdir():
        for one in shipped_yaml.read(file.read_text("utf-8")):
            if (
                one["type"] in CATALOGUE
                and one["type"] not in ("link", "unlink")
                and (ours or one["type"] not in OURS_ALONE)
                and one["version"] == CATALOGUE[one["type"]].version
            ):
                found.append((one["type"], one["data"]))
    return sorted(found, key=str)


@st.composite
def _happening(draw: st.DrawFn, types: list[Any], people: list[dict[str, str]]) -> dict[str, Any]:
    type, data = draw(st.sampled_from(types))
    thread = draw(st.sampled_from(THREADS))
    return event(
        type,
        {**data, "thread": thread} if thread else data,
        who=draw(st.sampled_from(people)),
        days_ago=draw(st.integers(0, 40)) * 10 + draw(st.integers(0, 47)) / 48,
        channel=draw(st.sampled_from(["web", "store", "email"])),
    )


@st.composite
def _decision(draw: st.DrawFn) -> dict[str, Any]:
    ids = draw(st.lists(st.sampled_from(NAMED), min_size=2, max_size=3, unique=True))
    linking = draw(st.booleans())
    data = {"link": ids} if linking else {"apart": ids[:1], "from": ids[1:]}
    return event("link" if linking else "unlink", data, who={}, days_ago=draw(st.integers(0, 400)))


@st.composite
def histories(draw: st.DrawFn, max_size: int = 40) -> list[dict[str, Any]]:
    """Each is of a few types and a few people only, so that facts about the same thing meet."""
    unknown = ("Wheel spun", {"prize": "колесо", "n": 3})
    types = draw(st.lists(st.sampled_from([*samples(), unknown]), min_size=1, max_size=6))
    people = draw(st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=5))
    happening = _happening([*types, *draw(st.permutations(lasting()))[:3]], people)
    size = draw(st.integers(1, max_size))
    events = draw(
        st.lists(st.one_of(happening, happening, happening, _decision()), min_size=size, max_size=size)
    )
    return [{**one, "id": f"e{place}"} for place, one in enumerate(events)]


@cache
def lasting() -> list[tuple[str, dict[str, Any]]]:
    """The samples that set registers or take a turn in a thread: what order could spoil."""
    found = []
    for type, data in samples():
        details = CATALOGUE[type].model_validate(data)
        if list(details.registers()) or details.message() is not None:
            found.append((type, data))
    return found
