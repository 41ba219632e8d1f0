"""Finding a customer by what an agent has at hand, and reading his timeline both ways."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.books import NOON, a_book, event, folded, publish
from tests.projections.histories import histories, samples
from tests.thorough import examples
from touchbook.errors import Refused
from touchbook.identity import IdentityRules
from touchbook.projections import customers as reading
from touchbook.projections.cursors import cursor_of
from touchbook.projections.finding import MOST_WORDS, NAME_TRAITS, SHORTEST_PART, Asked, asked_in, words_of
from touchbook.projections.who import Customer
from touchbook.schemas.touchpoint import Identifier
from touchbook.streams.rebuild import rebuild
from touchbook.timeline import NOISE, Entry, TimelineFilters, actor_of, mood_of, passes
from touchbook.wiring import Book

few = settings(max_examples=examples(25), deadline=None)
ALL = TimelineFilters()
MARTA = {"user_id": "m-1", "email": "marta@example.test", "phone": "+4930123456", "anonymous_id": "visit-9"}


def story() -> list[dict[str, Any]]:
    """Marta in two names and with an old address, Martin with an order, and somebody without a name."""
    old = {"user_id": "m-1", "email": "old.address@example.test"}
    return [
        event("identified", {"traits": {"name": "Marta Lindqvist"}}, who=MARTA, days_ago=9, id="m1"),
        event("identified", {"traits": {"name": "Márta Berg"}}, who=old, days_ago=90, id="m2"),
        event(
            "identified",
            {"traits": {"name": "Marta Bergqvist"}},
            who={"email": old["email"]},
            days_ago=99,
            id="m3",
        ),
        event(
            "case_opened",
            {"case_id": "C-2207", "title": "Where is it?"},
            who={"email": MARTA["email"]},
            id="m4",
        ),
        event("identified", {"traits": {"firstName": "Мартин", "lastName": "Öberg"}}, who="martin", id="t1"),
        event("order_placed", {"order_id": "22071", "amount": 1, "currency": "EUR"}, who="martin", id="t2"),
        event("page_viewed", {"name": "Home"}, who={"anonymous_id": "visit-10"}, id="n1"),
    ]


@pytest.fixture(scope="module")
def book() -> Iterator[Book]:
    with a_book(phone_region="DE") as opened:
        publish(opened, story())
        yield folded(opened)


def asked(book: Book, text: str, limit: int = 10) -> list[tuple[str | None, tuple[tuple[str, str], ...]]]:
    return [(one.name, one.matched) for one in book.customers.found(text, limit)]


@pytest.mark.parametrize(
    ("text", "matched"),
    [
        ("marta", ("name", "Marta Bergqvist")),
        ("  LINDQ mar ", ("name", "Marta Lindqvist")),
        ("bergqvist", ("name", "Marta Bergqvist")),
        ("marta@example.test", ("email", "marta@example.test")),
        ("MARTA@EXAMPLE.TEST", ("email", "marta@example.test")),
        ("old.add", ("email", "old.address@example.test")),
        ("email:old.address@example.test", ("email", "old.address@example.test")),
        ("030 / 123456", ("phone", "+4930123456")),
        ("030 12", ("phone", "+4930123456")),
        ("0049 30 123", ("phone", "+4930123456")),
        ("+49 (30) 12", ("phone", "+4930123456")),
        ("m-1", ("user_id", "m-1")),
        ("visit-9", ("anonymous_id", "visit-9")),
        ("C-2207", ("case", "C-2207")),
        ("c-22", ("case", "C-2207")),
        ("case C-2207", ("case", "C-2207")),
        ("обращение № C-2207", ("case", "C-2207")),
        ("#C-2207", ("case", "C-2207")),
    ],
)
def test_a_customer_is_found_by_anything_that_ever_named_him(
    book: Book, text: str, matched: tuple[str, str]
) -> None:
    [(name, found), *others] = asked(book, text)
    assert (name, found[0]) == ("Marta Lindqvist", matched)
    assert "Marta Lindqvist" not in [other for other, _ in others], "each customer once"


def test_orders_names_in_other_alphabets_and_people_without_a_name_are_found_too(book: Book) -> None:
    assert asked(book, "22071") == [("Мартин Öberg", (("order", "22071"),))]
    assert asked(book, "заказ 2207") == [("Мартин Öberg", (("order", "22071"),))]
    assert asked(book, "МАРТ oberg") == [("Мартин Öberg", (("name", "Öberg"),))]
    assert asked(book, "visit-1") == [(None, (("anonymous_id", "visit-10"),))]
    customer = book.customers.find("user_id:martin")
    assert [one.customer for one in book.customers.found(customer.id, 5)] == [customer]


@pytest.mark.parametrize(
    "text", ["", "   ", "z", "nobody", "%", "'; DROP TABLE search", "\x00", "ф" * 5_000, "м" * 9]
)
def test_what_names_nobody_finds_nobody(book: Book, text: str) -> None:
    assert book.customers.found(text, 10) == []


def test_the_best_comes_first_and_no_more_than_asked_for(book: Book) -> None:
    assert asked(book, "mar")[1:] == [("Мартин Öberg", (("user_id", "martin"),))], "names before identifiers"
    assert [name for name, _ in asked(book, "visit-1")] == [None]
    assert [len(asked(book, "visit", limit)) for limit in (1, 2, 3)] == [1, 2, 2]
    assert asked(book, "visit-10")[0][1] == (("anonymous_id", "visit-10"),)


def test_words_of_hostile_names_are_few_and_short() -> None:
    assert words_of(" ".join(f"w{n}" for n in range(10_000))) == [f"w{n}" for n in range(MOST_WORDS)]
    assert words_of("x" * 100_000) == ["x" * 50]
    assert words_of("O'Brien-Ålund, JOSÉ josé Straße") == ["o", "brien", "alund", "jose", "strasse"]
    assert words_of(None) == words_of({"a": 1}) == words_of("—  '") == []


def test_ornate_struck_and_accented_letters_are_plain_ones() -> None:
    assert words_of("Søren ŁUKASZ Đorđe ılker") == ["soren", "lukasz", "dorde", "ilker"]
    assert words_of("𝐌𝐚𝐫𝐭𝐚 ℌans Ёлкин Й") == ["marta", "hans", "елкин", "и"]


letters = st.text(alphabet="аАёЕbBøá́ -'1", max_size=7)


@few
@given(
    st.lists(st.dictionaries(st.sampled_from(NAME_TRAITS[:3]), letters, min_size=1), min_size=1, max_size=4),
    st.lists(letters, min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(NAME_TRAITS[:3]), letters), max_size=3),
)
def test_by_parts_of_names_those_are_found_that_a_slow_look_at_every_name_finds(
    people: list[dict[str, str]], texts: list[str], renamed: list[tuple[int, str, str]]
) -> None:
    with a_book() as book:
        for n, traits in enumerate(people):
            publish(book, [event("identified", {"traits": traits}, who=f"#{n}", days_ago=9, id=f"p{n}")])
        for at, (n, key, name) in enumerate(renamed):
            who = n % len(people)
            publish(
                book,
                [event("identified", {"traits": {key: name}}, who=f"#{who}", days_ago=8 - at, id=f"r{at}")],
            )
            people[who] = {**people[who], key: name}
        ids = {folded(book).customers.find(f"user_id:#{n}").ids[0]: traits for n, traits in enumerate(people)}
        with book.projections.reading() as reader:
            for asked in filter(None, map(words_of, texts)):
                slow = {id for id, traits in ids.items() if plainly_called(traits, asked)}
                found = [match.subject for match in reader.found(asked, (), 100)]
                assert set(found) == slow, (asked, people)
                begun = [begins_so(ids[id], asked) for id in found]
                assert begun == sorted(begun, reverse=True), "what begins so comes first"


def called(traits: dict[str, str]) -> list[str]:
    return [word for name in traits.values() for word in words_of(name)]


def plainly_called(traits: dict[str, str], asked: list[str]) -> bool:
    return all(
        any(word.startswith(one) or (len(one) >= SHORTEST_PART and one in word) for word in called(traits))
        for one in asked
    )


def begins_so(traits: dict[str, str], asked: list[str]) -> bool:
    return all(any(word.startswith(one) for word in called(traits)) for one in asked)


def test_one_identifier_named_with_its_type_means_that_one_alone() -> None:
    rules = IdentityRules()
    assert asked_in("user_id:Ann", rules) == Asked(identifiers=(Identifier("user_id", "Ann"),))
    assert asked_in("phone:12", rules) == Asked()
    assert asked_in("a", rules).words == asked_in("a", rules).beginnings == ()
    assert Identifier("user_id", "a") in asked_in("a", rules).identifiers


def test_what_is_found_survives_a_rebuild_and_goes_with_an_erasure() -> None:
    with a_book() as book:
        publish(book, story())
        folded(book)
        before = {
            text: asked(book, text) for text in ("mar", "old.address", "c-2207", "visit", "22071", "öb")
        }
        assert all(before.values())
        rebuild(book.settings.data, book.journal, book.folder, book.version)
        assert {text: asked(book, text) for text in before} == before

        erase(book, book.customers.find("user_id:m-1"))
        assert asked(book, "marta") == asked(book, "old.address") == asked(book, "c-2207") == []
        assert asked(book, "visit") == [(None, (("anonymous_id", "visit-10"),))]
        assert asked(book, "22071") == before["22071"]


def erase(book: Book, customer: Customer) -> None:
    members = customer.ids
    book.journal.erase(members).result(20)
    book.journal.alone(lambda: book.journal.mark_erased("e" * 32, members[0], members)).result(20)
    folded(book)


# The timeline, both ways


def stamps(entries: list[Entry]) -> list[tuple[int, str]]:
    return [(one.occurred_at, one.key) for one in entries]


def everything(book: Book, customer: Customer) -> list[Entry]:
    with book.projections.reading() as reader:
        return list(reader.entries(customer.subjects, ALL, None))


some_filters = st.builds(
    TimelineFilters,
    channels=st.sampled_from([(), ("web",), ("web", "email")]),
    families=st.sampled_from([(), ("service", "feedback")]),
    types=st.sampled_from([(), tuple(sorted({type for type, _ in samples()})[::2])]),
    actors=st.sampled_from([(), ("customer",), ("agent", "bot"), ("system",)]),
    moods=st.sampled_from([(), ("negative",), ("positive", "neutral")]),
    noise=st.booleans(),
    direction=st.sampled_from([None, "in", "out"]),
    text=st.sampled_from([None, "e", "ORDER"]),
    from_at=st.sampled_from([None, NOON - 200 * 86_400_000]),
    to_at=st.sampled_from([None, NOON - 100 * 86_400_000]),
    audience=st.sampled_from(["agent", "customer"]),
)


def plainly(entry: Entry, filters: TimelineFilters) -> bool:
    return (
        (not filters.channels or entry.channel in filters.channels)
        and (not filters.families or entry.family in filters.families)
        and (not filters.types or entry.type in filters.types)
        and (filters.noise or entry.type not in NOISE)
        and filters.direction in (None, entry.direction)
        and (filters.from_at is None or entry.occurred_at >= filters.from_at)
        and (filters.to_at is None or entry.occurred_at < filters.to_at)
        and (filters.audience == "agent" or entry.for_customer)
        and passes(entry, filters, "en")
    )


@few
@given(histories(), some_filters, st.integers(1, 5), st.integers(1, 9), st.randoms(use_true_random=False))
def test_pages_down_and_up_hold_all_that_passes_once_and_in_order(
    events: list[dict[str, Any]], filters: TimelineFilters, limit: int, looked_at: int, rnd: random.Random
) -> None:
    with a_book() as book, pytest.MonkeyPatch.context() as patched:
        patched.setattr(reading, "LOOKED_AT", looked_at)
        publish(book, events)
        folded(book)
        with book.projections.reading() as reader:
            ids = sorted({one.id for one in reader.groups_after("", 1_000) if one.touchpoints})
        customer = book.customers.find(rnd.choice(ids))
        all_of_it = everything(book, customer)
        wanted = [one.key for one in all_of_it if plainly(one, filters)]
        assert down(book, customer, filters, limit) == wanted
        bottom = cursor_of((-(2**61), "0" * 32))
        assert up(book, customer, filters, limit, bottom) == wanted
        middle = rnd.choice(stamps(all_of_it))
        above = [one.key for one in all_of_it if plainly(one, filters) and stamps([one])[0] > middle]
        assert up(book, customer, filters, limit, cursor_of(middle)) == above
        if filters.by_store:
            assert book.customers.count(customer, filters) == len(wanted)
        else:
            bare = replace(filters, text=None, actors=(), moods=())
            assert book.customers.count(customer, filters) == book.customers.count(customer, bare)


def down(book: Book, customer: Customer, filters: TimelineFilters, limit: int) -> list[str]:
    found, cursor = list[str](), None
    while True:
        page = book.customers.timeline(customer, filters, cursor, limit, "en")
        assert len(page["items"]) <= limit
        found += [item["key"] for item in page["items"]]
        if (cursor := page["next"]) is None:
            return found


def up(book: Book, customer: Customer, filters: TimelineFilters, limit: int, cursor: str) -> list[str]:
    found, place = list[str](), cursor
    while place is not None:
        page = book.customers.timeline(customer, filters, None, limit, "en", above=place)
        assert len(page["items"]) <= limit
        found = [item["key"] for item in page["items"]] + found
        place = page["above"]
    return found


def test_no_read_looks_at_more_than_its_share_and_a_short_page_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "LOOKED_AT", 10)
    with a_book() as book:
        said = [
            event("note", {"text": "word" if n == 3 else "other"}, days_ago=n / 9, id=f"e{n}")
            for n in range(25)
        ]
        publish(book, said)
        customer = folded(book).customers.find("user_id:ann")
        filters = TimelineFilters(text="WORD")
        first = book.customers.timeline(customer, filters, None, 5, "en")
        assert [item["data"]["text"] for item in first["items"]] == ["word"]
        empty = book.customers.timeline(customer, filters, first["next"], 5, "en")
        assert (empty["items"], empty["next"] is None) == ([], False)
        last = book.customers.timeline(customer, filters, empty["next"], 5, "en")
        assert (last["items"], last["next"]) == ([], None)


def test_a_place_that_is_not_ours_is_refused(book: Book) -> None:
    customer = book.customers.find("user_id:martin")
    with pytest.raises(Refused, match="cursor: expected"):
        book.customers.timeline(customer, ALL, None, 5, "en", above="elsewhere")


def shown(type: str, direction: str = "in", **body: Any) -> Entry:
    header = ("k", "s", 0, 0, 0, type, "other", "web", "shop", direction)
    return Entry(*header, thread=None, for_customer=True, body=body)


def test_who_did_it_and_how_he_felt_are_told_from_what_was_said() -> None:
    assert actor_of(shown("x", actor={"kind": "bot", "name": None})) == "bot"
    assert [actor_of(shown("x", way)) for way in ("in", "out", "internal")] == [
        "customer",
        "system",
        "system",
    ]
    assert mood_of(shown("emotion_observed", data={"valence": "positive", "confidence": 0.1})) == "positive"
    assert mood_of(shown("survey_answered", signals=[["csat_good", 0], ["nps_detractor", 0]])) == "negative"
    assert mood_of(shown("review_posted", signals=[["review_neutral", 0]])) == "neutral"
    assert mood_of(shown("page_viewed", signals=[["page_view", 0]])) is None
    assert mood_of(shown("erased")) is None
