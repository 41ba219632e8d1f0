"""After an erasure everything is as if the journal had been folded without what can no longer be opened."""

from __future__ import annotations

import os
from itertools import groupby
from operator import itemgetter
from threading import Thread
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.books import SHOP, TODAY, a_book, event, folded, publish
from touchbook.errors import CustomerUnknown, KeyDestroyed
from touchbook.positions import position_of
from touchbook.sealing import new_key_id
from touchbook.streams.admission import Publisher
from touchbook.streams.rebuild import rebuild
from touchbook.timeline import TimelineFilters
from touchbook.wiring import Book

EXAMPLES = int(os.environ.get("TEST_ERASURE_EXAMPLES", "12"))
"""More of them by this switch."""
DESK = Publisher(source="desk", role="agent")
WHO = st.fixed_dictionaries(
    {},
    optional={
        "user_id": st.sampled_from(["u1", "u2", "u3"]),
        "loyalty_card": st.sampled_from(["c1", "c2"]),
        "email": st.lists(
            st.sampled_from([f"e{n}@example.test" for n in range(4)]), min_size=1, max_size=2, unique=True
        ),
        "device": st.sampled_from(["d1", "d2"]),
        "anonymous_id": st.sampled_from(["a1", "a2", "a3"]),
    },
).filter(bool)
NAMES = [
    "user_id:u1",
    "user_id:u2",
    "loyalty_card:c1",
    "email:e0@example.test",
    "device:d1",
    "anonymous_id:a1",
]


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, Any]]:
    """What people and agents did: orders, chats, links and unlinks over a handful of identifiers."""
    made = []
    for n in range(draw(st.integers(3, 16))):
        kind = draw(st.sampled_from(["order_placed", "chat_message_sent", "identified", "link", "unlink"]))
        ago, id = draw(st.integers(0, 9)), f"t{n}"
        if kind in ("link", "unlink"):
            one, other = draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=2, unique=True))
            lists = {"link": [one, other]} if kind == "link" else {"apart": [one], "from": [other]}
            carried = draw(st.sampled_from([{}, {"user_id": "u3"}]))
            made.append(event(kind, lists, who=carried, days_ago=ago, id=id, source="desk"))
            continue
        data = {
            "order_placed": {"order_id": id, "total": 10 + n, "currency": "EUR"},
            "chat_message_sent": {"thread": f"th{n % 3}", "text": f"words {n}"},
            "identified": {"traits": {"name": f"name {n}"}},
        }[kind]
        made.append(event(kind, data, who=draw(WHO), days_ago=ago, id=id))
    return made


def put(book: Book, events: list[dict[str, Any]]) -> None:
    for source, together in groupby(events, itemgetter("source")):
        publish(book, list(together), DESK if source == "desk" else SHOP)


def erase(book: Book, name: str, id: str | None = None) -> dict[str, Any]:
    type, _, value = name.partition(":")
    return book.erasures.erase(book.customers.id_named(type, value), None, id)


def known(book: Book) -> dict[str, tuple[Any, ...]]:
    """Everybody who can be read: who he is, what happened, how he stands."""
    customers, found = book.customers, {}
    for name in (*NAMES, "user_id:u3", "email:e1@example.test", "anonymous_id:a3", "device:d2"):
        try:
            one = customers.lookup(*name.split(":", 1))
        except CustomerUnknown:
            continue
        with book.projections.reading() as reader:
            ledgers = reader.ledgers(one.ids)
            entries = [reader.keys_of([id]) for id in sorted(one.subjects)]
        found[name] = (
            one.id,
            sorted(
                (member.id, member.first_seen, member.last_seen, member.touchpoints) for member in one.members
            ),
            [(link.a, link.b, link.reason) for link in one.refused],
            ledgers,
            entries,
        )
    return found


@settings(max_examples=EXAMPLES, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(histories(), st.data())
def test_who_is_left_is_as_a_rebuild_makes_him(history: list[dict[str, Any]], data: st.DataObject) -> None:
    with a_book() as book:
        put(book, history)
        folded(book)
        names = [name for name in NAMES if name in known(book)]
        for name in data.draw(
            st.lists(st.sampled_from(names or ["user_id:nobody"]), max_size=2, unique=True)
        ):
            try:
                receipt = erase(book, name)
            except CustomerUnknown:
                continue
            assert receipt["state"] == "done"
        put(book, data.draw(histories()))  # some of them return
        folded(book)

        live, live_known = book.projections.digest(), known(book)
        rebuild(book.settings.data, book.journal, book.folder, book.version)

        rebuilt = known(book)
        assert {name: one for name, one in rebuilt.items() if live_known.get(name) != one} == {}
        assert (book.projections.digest(), rebuilt) == (live, live_known)


def test_nothing_he_did_can_be_opened_and_nobody_is_known_under_any_of_his_identifiers() -> None:
    with a_book() as book:
        put(
            book,
            [event("chat_message_sent", {"thread": "t", "text": "hello"}, who=everything("ann"), id="1")],
        )
        put(
            book,
            [event("chat_message_sent", {"thread": "b", "text": "hello"}, who=everything("bob"), id="2")],
        )
        folded(book)
        members = book.customers.find("user_id:ann").ids

        receipt = erase(book, "email:ann@example.test")

        assert sorted(receipt["members"]) == sorted(members)
        assert receipt["touchpoints"] == 1
        assert receipt["named_by_others"] == []
        for id in members:
            with pytest.raises(CustomerUnknown):
                book.customers.find(id)
        ann, bob, erasure = book.journal.read()
        with pytest.raises(KeyDestroyed):
            book.journal.open(ann)
        assert book.journal.open(bob).data["text"] == "hello"
        assert erasure.position == position_of(receipt["position"])
        assert b"ann" not in erasure.body


def test_everybody_else_stays_as_he_was() -> None:
    def order(n: int) -> dict[str, Any]:
        data = {"order_id": f"o{n}", "total": n, "currency": "EUR"}
        return event("order_placed", data, who=everything(f"p{n}"), id=f"x{n}")

    with a_book() as book, a_book() as without:
        rows = [order(n) for n in range(30)]
        put(book, rows)
        put(without, [row for n, row in enumerate(rows) if n != 7])
        folded(book), folded(without)
        scores = book.customers.scores(book.customers.find("user_id:p8"), TODAY)["scores"]

        erase(book, "user_id:p7")

        after, expected = book.projections.digest(), without.projections.digest()
        assert {name: after[name] for name in ("ledger", "registers", "claims")} == {
            name: expected[name] for name in ("ledger", "registers", "claims")
        }
        assert book.customers.scores(book.customers.find("user_id:p8"), TODAY)["scores"] == scores


def test_a_shared_device_whose_people_went_links_again() -> None:
    with a_book() as book:
        kiosk = [
            event("walk_taken", who={"user_id": f"k{n}", "device": "kiosk"}, days_ago=30 - n, id=f"k{n}")
            for n in range(21)
        ]
        put(book, kiosk)
        folded(book)
        assert len(book.customers.find("device:kiosk").members) == 1

        erase(book, "user_id:k0")

        linked = book.customers.find("device:kiosk")
        assert sorted(str(one.identifier) for one in linked.members) == ["device:kiosk", "user_id:k1"]


def test_what_others_say_stays_theirs_and_the_receipt_says_so() -> None:
    with a_book() as book:
        put(
            book,
            [event("walk_taken", who={"user_id": "one", "email": "both@example.test"}, days_ago=2, id="1")],
        )
        put(
            book,
            [event("walk_taken", who={"user_id": "two", "email": "both@example.test"}, days_ago=1, id="2")],
        )
        folded(book)
        assert [str(one.identifier) for one in book.customers.find("user_id:two").members] == ["user_id:two"]

        receipt = erase(book, "user_id:one")

        both = book.customers.id_named("email", "both@example.test")
        assert receipt["named_by_others"] == [both]
        assert book.customers.find(both).id == book.customers.find("user_id:two").id
        assert erase(book, "email:both@example.test")["erasure"] == receipt["erasure"], "the other was spared"
        assert book.customers.find("user_id:two").subjects


def test_who_returns_starts_anew_under_the_same_identifier() -> None:
    with a_book() as book:
        put(
            book,
            [
                event(
                    "order_placed",
                    {"order_id": "1", "total": 90, "currency": "EUR"},
                    who=everything("ann"),
                    id="1",
                )
            ],
        )
        folded(book)
        before = book.customers.find("user_id:ann")
        token = book.customers.timeline(before, TimelineFilters(), None, 5, "en")["stream_from"]
        first = erase(book, "user_id:ann")

        put(book, [event("walk_taken", {"text": "back"}, who=everything("ann"), id="2")])
        folded(book)

        ann = book.customers.find("user_id:ann")
        assert sorted(ann.ids) == sorted(before.ids)
        assert book.customers.buying(ann, TODAY)["purchases"] == 0
        timeline = book.customers.timeline(ann, TimelineFilters(), None, 5, "en")["items"]
        assert sorted(item["type"] for item in timeline) == ["erased", "walk_taken"]
        reload, _, _ = book.customers.stream(ann, token, TimelineFilters(), "en")
        assert reload, "what the page of before shows is gone"
        second = erase(book, "user_id:ann")
        assert second["erasure"] != first["erasure"]
        assert second["touchpoints"] == 1
        assert not set(second["destroyed_keys"]) & set(first["destroyed_keys"])


def test_erased_again_he_has_the_same_receipt() -> None:
    with a_book() as book:
        put(book, [event("walk_taken", who=everything("ann"), id="1")])
        folded(book)
        first = erase(book, "user_id:ann")

        assert erase(book, "user_id:ann") == erase(book, "anonymous_id:anon-ann") == first
        with pytest.raises(CustomerUnknown):
            erase(book, "user_id:nobody")


def test_an_id_of_ones_own_makes_asking_again_safe_whatever_came_between() -> None:
    with a_book() as book:
        id = new_key_id()
        put(book, [event("walk_taken", who="ann", id="1")])
        folded(book)
        first = erase(book, "user_id:ann", id)
        put(book, [event("walk_taken", who="ann", id="2")])
        folded(book)

        assert erase(book, "user_id:ann", id) == first
        assert book.customers.find("user_id:ann").subjects


def test_what_is_recorded_while_he_is_erased_is_erased_or_of_who_returned() -> None:
    with a_book() as book:
        book.start()
        publish(book, [event("walk_taken", who="ann", id="first")])

        def walks() -> None:
            for n in range(200):
                publish(book, [event("walk_taken", {"n": n}, who="ann", id=f"walk {n}")])

        walking = Thread(target=walks)
        walking.start()
        receipts = [erase(book, "user_id:ann") for _ in range(3)]
        walking.join()
        assert book.follower.wait(book.journal.head(), 20)

        last = max(position_of(one["position"]) for one in receipts)
        for record in book.journal.read(limit=1000):
            if record.key_id and record.position < last:
                with pytest.raises(KeyDestroyed):
                    book.journal.open(record)
            elif record.key_id:
                assert book.journal.open(record).type == "walk_taken"
        live = book.projections.digest()
        rebuild(book.settings.data, book.journal, book.folder, book.version)
        assert book.projections.digest() == live


def everything(name: str) -> dict[str, Any]:
    return {"user_id": name, "email": f"{name}@example.test", "anonymous_id": f"anon-{name}"}
