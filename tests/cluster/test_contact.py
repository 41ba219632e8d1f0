"""Whom to contact, on many machines with all that belongs to it: two replicas, a worker, and who decides goes."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from tests.books import SHOP, event
from tests.cluster.answers import at_the_desk
from tests.cluster.machines import SESSION_SECONDS, Machines, installed
from tests.servers.clickhouse import ClickHouse
from tests.servers.kafka import Kafka
from tests.servers.process import free_port
from touchbook.contacting import Candidate
from touchbook.errors import NoDecider
from touchbook.schemas.touchpoint import Identifier
from touchbook.settings import settings_from
from touchbook.streams.admission import Item, key_of
from touchbook.streams.contacting_many import Decided
from touchbook.streams.control import OURS
from touchbook.streams.deciding import Asked, reservation_of
from touchbook.timeline import TimelineFilters
from touchbook.wiring import Book, now, open_book

pytestmark = pytest.mark.server

CAP = 3
POLICY = f"""
policy: 1
versions:
- version: test-1
  from: 1970-01-01
  contact:
    consent: {{}}
    caps: [{{name: offers a week, purposes: [offer], most: {CAP}, window: 7d}}]
"""
SECONDS = 90.0
RESERVE = "/v1/contact:reserve"


@pytest.fixture(scope="module")
def machines(
    kafka_server: Kafka, clickhouse_server: ClickHouse, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machines]:
    settings = {"TOUCHBOOK_SESSION_SECONDS": str(SESSION_SECONDS), "TOUCHBOOK_CLOCK": "false"}
    folder = tmp_path_factory.mktemp("contact")
    with installed(kafka_server, clickhouse_server, folder, policy=POLICY, **settings) as made:
        made.worker().start()
        yield made


@pytest.fixture
def books(machines: Machines, tmp_path: Path) -> Iterator[list[Book]]:
    with ExitStack() as ended:
        made = []
        for name in ("one", "other"):
            book = open_book(
                settings_from(
                    data=tmp_path / name,
                    journal=f"kafka://{machines.bootstrap}",
                    topic_prefix=machines.prefix,
                    projections=machines.projections,
                    master_key=machines.folder / "master.key",
                    port=free_port(),
                    session_seconds=SESSION_SECONDS,
                    policy=machines.folder / "policy.yaml",
                    clock=False,
                )
            )
            ended.callback(book.close)
            book.start()
            made.append(book)
        yield made


def eventually(true: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (found := true()):
        assert time.monotonic() < deadline, "it never held"
        time.sleep(0.1)
    return found


def deciding(books: list[Book]) -> list[Book]:
    found = []
    for book in books:
        assert book.contact_elsewhere is not None
        with suppress(NoDecider):
            if book.contact_elsewhere() is None:
                found.append(book)
    return found


def asked(book: Book, id: str) -> str:
    """What is decided about Ann under this id."""
    subject = book.journal.id_of(Identifier("user_id", "ann"))
    candidate = Candidate(id, "email", "offer", campaign="autumn")
    [answer] = book.contacting.reserve([Asked(subject, candidate, "crm", id)]).result(30)
    assert not isinstance(answer, Exception), answer
    return answer.kind


def asked_again(book: Book, id: str) -> str | None:
    """The same; None while this process does not decide, as for a moment when another replica comes."""
    with suppress(NoDecider):
        return asked(book, id)
    return None


def on_the_timeline(book: Book) -> Counter[str]:
    """Ann's decisions, as every replica shows them."""
    subject = book.journal.id_of(Identifier("user_id", "ann"))
    types = tuple(f"contact_{kind}" for kind in ("reserved", "deferred", "suppressed"))
    with book.projections.reading() as reader:
        return Counter(entry.type for entry in reader.entries([subject], TimelineFilters(types=types), None))


def found(book: Book, id: str) -> str | None:
    """The type of the decision under this id, as a process finds it that has just begun."""
    subject = book.journal.id_of(Identifier("user_id", "ann"))
    one = reservation_of(Asked(subject, Candidate(id, "email", "offer"), "crm", id))
    with book.projections.reading() as reader:
        nothing: Any = SimpleNamespace(taken_over=list)
        known = Decided(nothing).find(reader, subject, key_of(OURS, f"contact:{one}"))
    return None if known is None else str(known["type"])


def test_who_takes_over_goes_on_where_the_other_ended_and_every_decision_is_on_the_timeline_once(
    books: list[Book],
) -> None:
    said = event("chat_message", {"text": "hello"}, id="1")
    [told] = books[0].admission.admit([Item("cloudevents", said, {})], SHOP, now()).result(30)
    assert told.position is not None
    for book in books:
        eventually(lambda book=book: book.follower.shows(told.position))
    [first] = eventually(lambda: deciding(books))
    [second] = [book for book in books if book is not first]
    with pytest.raises(NoDecider):
        asked(second, "refused")

    before = {id: eventually(partial(asked_again, first, id)) for id in map(str, range(CAP + 1))}
    assert Counter(before.values())["reserved"] == CAP
    first.close()
    eventually(lambda: deciding([second]))
    assert {id: asked(second, id) for id in before} == before
    after = asked(second, "one more")
    assert after != "reserved"
    expected = Counter(f"contact_{kind}" for kind in (*before.values(), after))
    eventually(lambda: on_the_timeline(second).total() >= expected.total())
    assert on_the_timeline(second) == expected
    eventually(lambda: found(second, "one more") is not None)  # by what is not in memory alone
    assert {id: found(second, id) for id in (*before, "one more", "never asked")} == {
        **{id: f"contact_{kind}" for id, kind in before.items()},
        "one more": f"contact_{after}",
        "never asked": None,
    }
    assert second.metrics.text().count(b"touchbook_contact_decides 1.0") == 1


@pytest.mark.thorough
def test_a_thousand_reservations_over_two_replicas_never_exceed_a_cap_though_the_one_that_decides_is_killed(
    machines: Machines,
) -> None:
    replicas = [machines.replica().start() for _ in range(2)]
    key, agent = machines.key("channel", "crm", "--channel", "email"), machines.key("agent", "desk")
    told: dict[str, str] = {}
    tried = threading.Event()
    http = httpx.Client(timeout=30, verify=False, limits=httpx.Limits(max_keepalive_connections=32))

    def post(url: str, path: str, body: dict[str, Any], key: str = key) -> httpx.Response:
        return http.post(url + path, json=body, headers={"Authorization": f"Bearer {key}"})

    def until_told(number: int) -> None:
        """As a channel does it: what is refused or not answered is sent again, with the same id, to the next one."""
        turn = itertools.cycle([one.url for one in replicas[number % 2 :] + replicas[: number % 2]])
        for id in range(number, 1_000, 16):
            deadline = time.monotonic() + SECONDS
            while str(id) not in told:
                assert time.monotonic() < deadline, "nobody decides"
                said = {"ref": "user_id:ben", "channel": "email", "purpose": "offer", "id": str(id)}
                try:
                    answer = post(next(turn), RESERVE, said)
                except httpx.HTTPError:
                    time.sleep(0.02)
                    continue
                assert answer.status_code in (200, 503), answer.text
                if answer.status_code == 200:
                    told[str(id)] = answer.json()["decision"]
                else:
                    time.sleep(0.5)
                if len(told) >= 100:
                    tried.set()

    with closing(http):
        for replica in replicas:
            replica.opened()
        event_ = event("chat_message", {"text": "hello"}, who="ben", id="1", source="crm")
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/cloudevents+json"}
        assert http.post(f"{replicas[0].url}/v1/events", json=event_, headers=headers).status_code == 200
        for replica in replicas:
            eventually(lambda url=replica.url: known(http, url, agent))
        with ThreadPoolExecutor(16) as pool:
            done = [pool.submit(until_told, number) for number in range(16)]
            eventually(lambda: tried.is_set() or [one.result() for one in done if one.done()])
            killed = eventually(lambda: [one for one in replicas if decides(http, one.url)])[0]
            killed.kill()
            for one in done:
                one.result(150)
        [left] = [one for one in replicas if one is not killed]
        assert decides(http, left.url)
        eventually(lambda: "touchbook_contact_unseen 0.0" in http.get(f"{left.url}/metrics").text)
        with at_the_desk(left.url, agent) as desk:
            shown = desk.pages("/v1/customers/user_id:ben/timeline", family="information")
        kinds = Counter(item["type"].removeprefix("contact_") for item in shown)
    assert len(told) == 1_000
    assert Counter(told.values())["reserved"] == CAP
    assert kinds == Counter(told.values())


def known(http: httpx.Client, url: str, agent: str) -> bool:
    headers = {"Authorization": f"Bearer {agent}"}
    return http.get(f"{url}/v1/customers/user_id:ben", headers=headers).status_code == 200


def decides(http: httpx.Client, url: str) -> bool:
    return "touchbook_contact_decides 1.0" in http.get(f"{url}/metrics").text
