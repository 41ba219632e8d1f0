"""Moving up: the journal of one machine copied into Kafka, cut short, gone on with, and folded to the same digests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.books import a_book, event, folded, publish
from tests.cluster.machines import Working, said
from touchbook.errors import CopyElsewhere
from touchbook.settings import settings_from
from touchbook.streams import copying
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.wiring import Book
from touchbook.wiring_tools import copy_journal, ensure_topics

pytestmark = pytest.mark.server
SHOP = {"source": "shop", "channel": "web_chat"}


def a_life(number: int) -> list[dict[str, Any]]:
    """Somebody who is known by several names, buys, complains, and says one thing twice."""
    user, mail = f"u-{number}", {"user_id": f"u-{number}", "email": f"u{number}@example.test"}
    visit = event("page_viewed", {"url": f"/{number}"}, who={"anonymous_id": f"a-{number}"}, id=f"{number}-1")
    order = {"order_id": f"o-{number}", "total": 1250, "currency": "EUR"}
    return [
        visit,
        event("page_viewed", who={"anonymous_id": f"a-{number}", "user_id": user}, id=f"{number}-2"),
        event("order_placed", order, who=mail, days_ago=number % 40, id=f"{number}-3"),
        event("complaint_raised", {"text": "Где мой чай?"}, who=user, id=f"{number}-4"),
        visit,
    ]


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    with a_book(tmp_path / "one") as made:
        publish(made, [one for number in range(60) for one in a_life(number)])
        publish(made, [event("order_placed", {"order_id": 7}, id="wrong")])
        made.control.create_key("publish", "shop", "web_chat")
        for at in range(70):
            made.audit.append("key-1", "Ines Costa", "viewed", None, {}, at)
        yield folded(made)


def environment(kafka: KafkaPlace, clickhouse: str, tmp_path: Path) -> dict[str, str]:
    return {
        "TOUCHBOOK_JOURNAL": f"kafka://{kafka.bootstrap[0]}",
        "TOUCHBOOK_PROJECTIONS": clickhouse,
        "TOUCHBOOK_TOPIC_PREFIX": kafka.prefix,
        "TOUCHBOOK_MASTER_KEY": str(tmp_path / "one" / "master.key"),
    }


@pytest.mark.thorough
def test_a_copy_that_was_cut_short_goes_on_and_folds_to_the_same_digests(
    book: Book, kafka: KafkaPlace, clickhouse: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = environment(kafka, clickhouse, tmp_path)
    to = {name.removeprefix("TOUCHBOOK_").lower(): value for name, value in there.items()}
    settings = settings_from(data=tmp_path / "many", kafka_parts=4, **to)
    monkeypatch.setattr(copying, "BATCH", 50)

    def cut_short(done: int, head: int) -> None:
        if done >= 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_journal(settings, tmp_path / "one", cut_short)
    erased = book.customers.id_of("user_id:u-5")
    book.start()
    book.erasures.erase(erased)
    publish(
        book,
        [event("order_placed", {"order_id": "back", "total": 5, "currency": "EUR"}, who="u-5", id="back")],
    )
    head = book.audit.verify().head
    book.audit.append("key-1", "Ines Costa", "signed_in", None, {}, 70)
    rest = copy_journal(settings, tmp_path / "one", lambda done, head: None)
    again = copy_journal(settings, tmp_path / "one", lambda done, head: None)
    worker = Working("worker", tmp_path / "worker", there, tmp_path / "worker.log").start()
    try:
        many = said(["digest"], tmp_path / "commands", there)
        trail = said(["audit", "verify", "--head", head], tmp_path / "commands", there)
        keys = said(["keys", "list"], tmp_path / "commands", there)["items"]
        aside = said(["set-aside", "list"], tmp_path / "commands", there)["items"]
    finally:
        worker.kill()

    assert book.follower.wait(book.journal.head(), 30)
    assert many == book.projections.digest()
    assert rest.position == book.journal.head()
    assert rest.records == book.journal.head() - 100
    assert (again.records, again.keys, again.access_keys) == (0, 0, 0)
    assert (rest.audit, again.audit, trail["whole"], trail["entries"]) == (71, 0, True, 71)
    assert [key["id"] for key in keys] == [key.id for key in book.control.list_keys()]
    assert [item["raw"]["id"] for item in aside] == ["wrong"]


def test_what_was_made_for_another_journal_takes_no_copy(
    book: Book, kafka: KafkaPlace, tmp_path: Path
) -> None:
    brokers = f"kafka://{kafka.bootstrap[0]}"
    settings = settings_from(data=tmp_path / "other", journal=brokers, topic_prefix=kafka.prefix)
    ensure_topics(settings, ())

    with pytest.raises(CopyElsewhere):
        copy_journal(settings, tmp_path / "one", lambda done, head: None)
