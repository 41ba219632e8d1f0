"""The proof by bytes: after an erasure through the running server, no file holds anything of the erased."""

from __future__ import annotations

import base64
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.books import NOON, SHOP, a_book, event, publish
from tests.erasure.canaries import PREFIX, canaries_of, files_in, found_in, held, life_of, spellings
from touchbook.cli.backup import _made_anew
from touchbook.cli.serve import running
from touchbook.errors import KeyDestroyed
from touchbook.settings import settings_from
from touchbook.streams.admission import Item
from touchbook.streams.backup import Restore, back_up
from touchbook.streams.rebuild import rebuild

pytestmark = pytest.mark.xdist_group("erased")  # two thousand lives are told once

EVERYBODY = 2_000
ERASED = tuple(range(50, EVERYBODY, 100))
STAYING = tuple(range(7, EVERYBODY, 100))
WITH_SET_ASIDE = ERASED[:6]


@dataclass
class Shop:
    data: Path
    backup: Path
    destroyed: Path
    receipts: list[dict[str, Any]]
    before: dict[str, Any]
    after: dict[str, Any]
    left: dict[str, Any]
    in_files_before: dict[int, set[str]]
    in_files: dict[int, set[str]]


def content(book: Any) -> dict[str, Any]:
    """Everything about everybody who is not erased, row by row."""
    gone = {book.journal.id_of(identifier) for n in ERASED for identifier in identifiers(n)}
    with book.projections.reading() as reader:
        ids = [one for one, _, _ in everyone(reader) if one not in gone]
        return {
            "ledgers": reader.ledgers(ids),
            "registers": sorted((one.kind, one.key, str(one.value)) for one in reader.registers(ids)),
            "messages": sorted((one.subject, one.thread, one.key) for one in reader.messages(ids)),
            "contacts": reader.contacts(ids, 0),
            "identifiers": sorted(reader.known(ids), key=lambda one: one.id),
            "claims": len(reader.claims(ids)[0]),
            "entries": sorted(reader.keys_of(ids)),
        }  # fmt: skip


def identifiers(n: int) -> list[Any]:
    from touchbook.schemas.touchpoint import Identifier

    said = canaries_of(n)
    named = {
        "user_id": f"p{n}",
        "anonymous_id": f"visitor-{n}",
        "email": said["email"],
        "phone": said["phone"],
    }
    return [Identifier(type, value) for type, value in named.items()]


def everyone(reader: Any) -> list[tuple[str, str, str]]:
    return list(reader._rows("SELECT id, type, value FROM identifiers ORDER BY id"))


def broken(n: int) -> list[Item]:
    """What no door accepts and names customer n: by address, by number, by id, by a touchpoint's id, as no JSON."""
    said = canaries_of(n)
    calls: list[Any] = [
        {
            "type": "no_such_call",
            "messageId": f"b1-{n}",
            "userId": f"p{n}",
            "properties": {"note": said["text"]},
        },
        {
            "type": "no_such_call",
            "messageId": f"b2-{n}",
            "traits": {"Email": said["email"].upper(), "x": said["name"]},
        },
        {
            "type": "no_such_call",
            "messageId": f"b3-{n}",
            "note": f"call {said['phone'][:5]} {said['phone'][5:]} please",
        },
        {"type": "no_such_call", "messageId": f"chat {n}", "note": said["cyrillic"]},
    ]
    items = [Item("segment", call, {}) for call in calls]
    raw = f'{{"type": "track", "anonymousId": "visitor-{n}", "note": "{said["text"]}"'
    return [*items, Item("segment", raw, {}, fault="expected JSON")]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    data, backup = tmp_path_factory.mktemp("shop"), tmp_path_factory.mktemp("backup") / "of-before"
    with running(settings_from(data=data, port=0, log_level="error")) as server:
        book = server.book
        admin = book.control.create_key("admin", "operations")[1]
        events = [one for n in range(EVERYBODY) for one in life_of(n)]
        for start in range(0, len(events), 1000):
            publish(book, events[start : start + 1000])
        for n in (*WITH_SET_ASIDE, *STAYING[:3]):
            book.admission.admit(broken(n), SHOP, NOON).result(30)
        assert book.follower.wait(book.journal.head(), 60)
        back_up(data, backup, NOON, master_key=data / "master.key")
        owners = {n: canaries_of(n).values() for n in (*ERASED, *STAYING)}
        in_files_before = found_in(files_in(data), owners)
        before, left = content(book), {}
        with httpx.Client(
            base_url=server.url, headers={"Authorization": f"Bearer {admin}"}, timeout=60
        ) as http:
            receipts = []
            for n in ERASED:
                named = (
                    {"type": "email", "value": canaries_of(n)["email"]}
                    if n % 200 < 100
                    else {"ref": f"user_id:p{n}"}
                )
                answer = http.post("/v1/customers:erase", json=named)
                assert answer.status_code == 200, answer.text
                receipts.append(answer.json())
        in_files = found_in(files_in(data), owners)
        after = content(book)
        left = {"set_aside": [item.raw.decode() for item in book.control.list_set_aside(None, 500)[0]]}
    return Shop(
        data, backup, data / "destroyed-keys.txt", receipts, before, after, left, in_files_before, in_files
    )


def test_the_search_finds_every_way_of_writing_a_canary(tmp_path: Path) -> None:
    for n, text in enumerate(["zqtext00001x, words", "Ъщтекст00001ж", "+4915000017731"]):
        for way, spelled in enumerate(spellings(text)):
            (tmp_path / f"{n}-{way}").write_bytes(b"before" + spelled + b"behind")
            assert found_in([tmp_path / f"{n}-{way}"], {0: [text]})[0]
        for before in range(3):
            for after in range(3):
                encoded = base64.b64encode(b"\xff" * before + text.encode() + b"\xff" * after)
                (tmp_path / "encoded").write_bytes(encoded)
                assert found_in([tmp_path / "encoded"], {0: [text]})[0], (before, after)
        assert not found_in([tmp_path / "0-0"], {0: ["zqtext99999x"]})[0]


FEW_LETTERS = st.text("ab", max_size=3).map(str.encode)


@given(st.text("ab", max_size=60).map(str.encode), st.sets(FEW_LETTERS, max_size=8))
def test_the_search_for_many_at_once_finds_what_a_search_for_each_finds(
    content: bytes, ends: set[bytes]
) -> None:
    prefix = b"aba" * (PREFIX // 3)
    ways = {prefix + end for end in ends}
    content += prefix + content[:2]
    assert held(content, prefix, ways) == {way for way in ways if way in content}


def test_no_file_holds_a_canary_of_the_erased_and_the_projections_hold_everybody_else_s(shop: Shop) -> None:
    for n in (*ERASED, *STAYING):
        assert any(name.startswith("projections-") for name in shop.in_files_before[n]), n
    for n in STAYING:
        assert any(name.startswith("projections-") for name in shop.in_files[n]), n
    assert {n: shop.in_files[n] for n in ERASED if shop.in_files[n]} == {}


def test_after_the_server_stopped_there_is_nothing_either(shop: Shop) -> None:
    found = found_in(files_in(shop.data), {n: canaries_of(n).values() for n in (*ERASED, STAYING[0])})

    assert found.pop(STAYING[0])
    assert {n: names for n, names in found.items() if names} == {}


def test_everybody_else_s_rows_are_what_they_were(shop: Shop) -> None:
    assert shop.after == shop.before


def test_each_receipt_names_what_went_and_nobody(shop: Shop) -> None:
    assert [receipt["state"] for receipt in shop.receipts] == ["done"] * len(ERASED)
    for receipt in shop.receipts:
        assert (receipt["touchpoints"], len(receipt["members"]), len(receipt["destroyed_keys"])) == (3, 4, 2)
        assert receipt["rows"]["entries"] == 3
        assert receipt["rows"]["contacts"] == 1
        assert receipt["named_by_others"] == []
        assert receipt["requested_by"]
    told = repr(shop.receipts).encode()
    canaries = [text for n in ERASED for text in canaries_of(n).values()]
    assert [text for text in canaries if any(way in told for way in spellings(text))] == []


def test_what_was_set_aside_of_him_went_and_that_of_others_stayed(shop: Shop) -> None:
    counts = {n: len(receipt["set_aside"]) for n, receipt in zip(ERASED, shop.receipts, strict=True)}
    assert counts == {n: len(broken(n)) if n in WITH_SET_ASIDE else 0 for n in ERASED}
    assert len(shop.left["set_aside"]) == 3 * len(broken(0))
    assert not any(f"{n:05}" in raw for n in ERASED for raw in shop.left["set_aside"])


def test_a_backup_s_journal_opened_with_today_s_keyring_tells_nothing(shop: Shop, tmp_path: Path) -> None:
    from touchbook.streams.backends.sqlite_journal import SqliteJournal
    from touchbook.streams.backends.sqlite_keyring import SqliteKeyring

    shutil.copy(shop.backup / "journal.sqlite", tmp_path)
    keyring = SqliteKeyring.at(shop.data)
    journal = SqliteJournal.at(tmp_path, keyring, lambda: 0, read_only=True)
    opened, gone = [], 0
    position = 0
    while records := journal.read(position):
        position = records[-1].position
        for record in records:
            try:
                opened.append(repr(journal.open(record)))
            except KeyDestroyed:
                gone += 1
    journal.close()
    keyring.close()
    told = "\n".join(opened)

    assert gone == 3 * len(ERASED)
    assert all(canaries_of(n)["text"] in told for n in STAYING)
    assert [n for n in ERASED for text in canaries_of(n).values() if text in told] == []


def test_a_rebuild_and_a_restore_keep_them_erased(shop: Shop, tmp_path: Path) -> None:
    with a_book(shop.data) as book:
        served = book.projections.digest()
        rebuild(shop.data, book.journal, book.folder, book.version)
        assert book.projections.digest() == served
    restored = tmp_path / "restored"
    Restore(shop.backup, restored, destroyed=shop.destroyed).bring()
    told = _made_anew(settings_from(data=restored))
    Restore(shop.backup, restored).finish()

    owners = {n: canaries_of(n).values() for n in (*ERASED[::5], STAYING[0])}
    for directory in (shop.data, restored):
        found = found_in(files_in(directory), owners)
        assert found[STAYING[0]]
        assert {n: names for n, names in found.items() if names and n in ERASED} == {}
    assert told["digests"] == served
    with a_book(restored) as book:
        assert content(book) == shop.before


def test_a_new_life_begins_after_it(shop: Shop) -> None:
    n = ERASED[3]
    with a_book(shop.data) as book:
        publish(book, [event("walk_taken", {"note": "back again"}, who={"user_id": f"p{n}"}, id="new life")])
        book.start()
        assert book.follower.wait(book.journal.head(), 20)
        [new] = book.customers.find(f"user_id:p{n}").members
        assert new.touchpoints == 1
