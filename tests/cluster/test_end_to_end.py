"""From the doors and the ingress topics through Kafka, a worker and ClickHouse to what replicas tell: the same as one
machine tells that was given the same."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.books import NOON, event
from tests.cli.commands import answer
from tests.cluster.answers import Desk, cleared, differences, scores_of
from tests.cluster.both import DAYS, Both, Streamed
from tests.desk.pages import words_of
from tests.desk.signed import token_of
from tests.projections.histories import samples
from tests.servers.clickhouse import ClickHouse
from tests.streams.test_kafka_scores import records
from touchbook.ledger import MILLISECONDS_A_DAY
from touchbook.projections.backtest import FromLedgers, back_test
from touchbook.schemas.times import day_number, rfc3339

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]
Event = dict[str, Any]
PEOPLE: list[dict[str, str]] = [
    {"user_id": "ann"},
    {"user_id": "bo"},
    {"user_id": "ann", "anonymous_id": "a1"},
    {"anonymous_id": "a1"},
    {"anonymous_id": "a2"},
    {"user_id": "bo", "email": "Bo@Example.test"},
    {"email": "bo@example.test"},
    {"loyalty_card": "c1", "anonymous_id": "a2"},
    {"user_id": "вера", "device": "d1"},
    {"device": "d1", "anonymous_id": "a3"},
    {"user_id": "cy"},
]


def happenings(rnd: random.Random, source: str, count: int) -> Iterator[Event]:
    """Of every type, of few people, within the year before; one in five is of none of our types."""
    types = samples()
    for number in range(count):
        type, data = rnd.choice(types)
        if rnd.random() < 0.2:
            type, data = "Wheel spun", {"prize": f"колесо {number}", "n": number}
        thread = {"thread": f"t{rnd.randrange(3)}"} if rnd.random() < 0.5 else {}
        channel = {"channel": rnd.choice(["store", "web_chat", "email"])} if rnd.random() < 0.5 else {}
        yield event(
            type, {**data, **thread}, who=rnd.choice(PEOPLE), days_ago=rnd.randrange(3_600) / 10,
            id=f"{source}-{number}", source=source, **channel,
        )  # fmt: skip


def calls() -> list[Event]:
    at = {"timestamp": "2026-03-02T09:15:00.000Z"}
    order = {"order_id": "o-1", "total": 12.5, "currency": "EUR", "products": [{"category": "чай"}]}
    said = [
        {"type": "identify", "userId": "dana", "traits": {"name": "Дана", "email": "Dana@Example.test"}},
        {"type": "alias", "userId": "dana", "previousId": "a-dana"},
        {"type": "page", "anonymousId": "a-dana", "name": "Главная"},
        {"type": "track", "userId": "dana", "event": "Order Completed", "properties": order},
        {"type": "track", "userId": "dana", "event": "Something of ours", "properties": {"слово": "да"}},
        {"type": "screen", "userId": "ann", "name": "Home"},
        {"type": "group", "userId": "ann", "groupId": "g-1"},
    ]
    return [{**one, **at, "messageId": f"call-{place}"} for place, one in enumerate(said)]


def decisions(source: str) -> list[Event]:
    """An agent ties two together, parts others, and thinks better of it."""
    made: list[tuple[str, dict[str, list[str]], float]] = [
        ("link", {"link": ["user_id:ann", "loyalty_card:c1"]}, 30),
        ("unlink", {"apart": ["device:d1"], "from": ["user_id:вера"]}, 20),
        ("link", {"link": ["user_id:cy", "anonymous_id:a3"]}, 10),
        ("unlink", {"apart": ["user_id:cy"], "from": ["anonymous_id:a3"]}, 5),
        ("link", {"link": ["user_id:cy", "anonymous_id:a3"]}, 3),
    ]
    return [
        event(type, data, who={}, days_ago=ago, id=f"{source}-decided-{place}", source=source)
        for place, (type, data, ago) in enumerate(made)
    ]


def agree(shapes: Both) -> None:
    """Whatever is told of anybody, and the digests."""
    shapes.settled()
    replicas, one = shapes.told()
    for replica in replicas:
        assert not list(differences(replica, one))[:5]
    many, alone = shapes.digests()
    assert many == alone


def test_the_same_inputs_tell_the_same_of_everybody_as_on_one_machine(shapes: Both) -> None:
    rnd = random.Random(1)
    from_shop, from_kiosk = list(happenings(rnd, "shop", 160)), list(happenings(rnd, "kiosk", 80))
    shapes.segment(calls()[:1])
    shapes.segment(calls()[1:])
    shapes.cloudevents(from_shop[:120])
    for place, one in enumerate(from_shop[120:]):
        shapes.cloudevents([one], binary=place % 2 == 0)
    shapes.ingress(from_kiosk, binary=True)
    shapes.cloudevents(decisions("shop"))
    # Sent once more: by the same door, by another, in another mode, and to the topic.
    shapes.cloudevents(rnd.sample(from_shop, 20))
    shapes.cloudevents(from_shop[7:8], at=0, binary=True)
    shapes.cloudevents(from_shop[7:8], at=1)
    shapes.segment(calls()[3:4])
    shapes.ingress(rnd.sample(from_kiosk, 10), binary=True)
    shapes.settled()  # an id used again is known once the first is
    shapes.cloudevents([{**from_shop[3], "data": {**from_shop[3]["data"], "note": "another"}}])
    shapes.ingress([{**from_kiosk[5], "time": "2026-01-01T00:00:00Z"}])
    shapes.cloudevents([event("page_viewed", who={}, id="nobody")])
    shapes.ingress_bytes(
        json.dumps({"id": "bare"}).encode(),
        [("content-type", b"application/cloudevents+json")],
        {"id": "bare"},
    )
    agree(shapes)
    many, alone = shapes.aside()
    assert many == alone
    assert len(alone) == 4
    assert len(shapes.desk.pages("/v1/customers/user_id:ann/timeline")) > 20


def test_what_a_replica_acknowledged_is_read_at_another_at_once(shapes: Both) -> None:
    for number in range(12):
        at, other = number % 2, 1 - number % 2
        (position,) = shapes.cloudevents(
            [event("visited", who=f"reader-{number % 3}", id=f"read-{number}")], at=at
        )
        assert position is not None
        answer = shapes.desks[other].read_at(f"user_id:reader-{number % 3}", [position])
        assert answer.headers["Preference-Applied"] == "wait"
        keys = shapes.desks[other].pages(f"/v1/customers/user_id:reader-{number % 3}/timeline")
        assert f"read-{number}" in {one["id"] for one in keys}
        card = shapes.desks[other].card(("user_id", f"reader-{number % 3}"))
        assert card["touchpoints"] == number // 3 + 1
    agree(shapes)


def test_a_live_stream_brings_each_touchpoint_once_and_goes_on_at_another_replica(shapes: Both) -> None:
    """He is known by identifiers in several parts of the journal."""
    who = {"user_id": "live", "anonymous_id": "a-live", "email": "live@example.test", "device": "d-live"}
    shapes.cloudevents([event("visited", who=who, id="live-first")])
    shapes.settled()
    path = "/v1/customers/user_id:live/timeline/stream"
    begin = shapes.desks[0].get("/v1/customers/user_id:live/timeline")["stream_from"]
    stream = Streamed(shapes.desks[1], path)
    sent: list[str] = []
    rnd = random.Random(2)
    for turn in range(4):
        ids = [f"live-{turn}-{number}" for number in range(40)]
        taking = stream.taking(len(ids), begin)
        for start in range(0, len(ids), 8):
            named = [rnd.choice([{name: value} for name, value in who.items()]) for _ in range(8)]
            shapes.cloudevents(
                [
                    event("visited", who=one, id=id)
                    for one, id in zip(named, ids[start : start + 8], strict=True)
                ],
                at=turn % 2,
            )
        sent += ids
        taking.join(60)
        assert not taking.is_alive(), f"{len(stream.events)} of {len(sent)} came"
        stream.desk = shapes.desks[turn % 2]  # it was cut; he goes on elsewhere, with the token he has
    assert [kind for kind, _, _ in stream.events] == ["touchpoint"] * len(sent)
    assert sorted(item["id"] for _, _, item in stream.events) == sorted(sent)
    agree(shapes)


def test_a_stream_that_is_resumed_at_every_place_at_any_replica_tells_the_rest(shapes: Both) -> None:
    who = {"user_id": "rest", "anonymous_id": "a-rest", "device": "d-rest"}
    shapes.cloudevents([event("visited", who=who, id="rest-first")])
    shapes.settled()
    path = "/v1/customers/user_id:rest/timeline/stream"
    begin = shapes.desks[1].get("/v1/customers/user_id:rest/timeline")["stream_from"]
    ids = [f"rest-{number}" for number in range(12)]
    for number, id in enumerate(ids):
        name = list(who)[number % 3]
        shapes.cloudevents([event("visited", who={name: who[name]}, id=id)])
    shapes.settled()
    whole = Streamed(shapes.desks[0], path)
    whole.take(len(ids), begin)
    tokens = [begin, *(token for _, token, _ in whole.events)]
    for place, token in enumerate(tokens[:-1]):
        rest = Streamed(shapes.desks[place % 2], path)
        rest.take(len(ids) - place, token)
        assert {item["id"] for _, _, item in rest.events}.isdisjoint(
            item["id"] for _, _, item in whole.events[:place]
        )
        assert len({item["id"] for _, _, item in rest.events}) == len(ids) - place


def test_while_clickhouse_does_not_answer_replicas_tell_how_everybody_stands_and_what_to_know_before_speaking(
    shapes: Both, clickhouse_server: ClickHouse
) -> None:
    """Also of what is new since they were asked last."""
    people = [f"quiet-{number}" for number in range(5)]
    for id, said in enumerate(["tea", "a cracked cup", "tea", "delivery on Sundays"]):
        shapes.cloudevents(
            [event("page_viewed", {"topic": said}, who=who, id=f"{who}-{id}", days_ago=id) for who in people]
        )
        shapes.settled()
        clickhouse_server.pause()
        try:
            told = [[_at_hand(desk, people) for desk in (*shapes.desks, shapes.desk)] for _ in "twice"]
        finally:
            clickhouse_server.resume()
        assert told[0] == told[1]
        assert [one["last_topics"][0]["topic"] for one in told[0][2]["contexts"]] == ["tea"] * len(people)
        for replica in told[0][:2]:
            assert not list(differences(replica, told[0][2]))[:5]


def _at_hand(desk: Desk, people: list[str]) -> Any:
    refs = [f"user_id:{who}" for who in people]
    told = {
        "contexts": [desk.get(f"/v1/customers/{ref}/context", purpose="offer") for ref in refs],
        "scores": [desk.get(f"/v1/customers/{ref}/scores") for ref in refs],
        "batch": scores_of(desk, refs, DAYS[0]),
    }
    ids = [one["customer"] for one in told["contexts"]]
    return cleared(told, dict(zip(ids, people, strict=True)))


@pytest.mark.thorough
def test_who_is_erased_is_erased_everywhere_and_may_return(shapes: Both) -> None:
    who = {"user_id": "gone", "anonymous_id": "a-gone", "email": "gone@example.test"}
    shapes.cloudevents(
        [event(type, data, who=who, id=f"gone-{place}") for place, (type, data) in enumerate(samples()[:25])]
    )
    shapes.cloudevents([event("visited", who={"user_id": "stays", "device": "d-stays"}, id="stays")])
    shapes.ingress([event("visited", who={"anonymous_id": "a-gone"}, id="gone-kiosk", source="kiosk")])
    shapes.cloudevents(
        [event("page_viewed", who=who, id="gone-0", days_ago=3)]
    )  # set aside, and it names him
    shapes.settled()
    receipts = [
        desk.post("/v1/customers:erase", {"ref": "user_id:gone"}, "admin")
        for desk in (shapes.desks[0], shapes.desk)
    ]
    assert [one["state"] for one in receipts] == ["done", "done"]
    assert receipts[0]["touchpoints"] == receipts[1]["touchpoints"] > 20
    assert [len(one["members"]) for one in receipts] == [3, 3]
    agree(shapes)
    for desk in (*shapes.desks, shapes.desk):
        assert desk.card(("email", "gone@example.test")) is None
    many, alone = shapes.aside()
    assert many == alone

    shapes.cloudevents([event("visited", who={"user_id": "gone"}, id="gone-again")])
    agree(shapes)
    for desk in (*shapes.desks, shapes.desk):
        assert desk.card(("user_id", "gone"))["touchpoints"] == 1

    served = shapes.digests()
    shapes.machines.run("rebuild")
    assert shapes.digests() == served
    agree(shapes)


def test_a_back_test_counts_in_clickhouse_and_tells_what_one_machine_tells(
    shapes: Both, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes.settled()
    file = tmp_path / "loyalty.yaml"
    file.write_bytes((resources.files("touchbook") / "scorecards" / "loyalty.yaml").read_bytes())
    cards, day = shapes.book.scorecards, day_number("2026-06-01")
    with shapes.book.projections.reading() as reader:
        expected = back_test(reader, cards["loyalty"], cards["trust"], day)
    monkeypatch.delattr(FromLedgers, "standings")
    asked = ("--against", "trust", "--at", "2026-06-01", "--data", tmp_path / "own")
    found = answer("scorecard", "backtest", file, *asked, env=shapes.machines.environment)
    assert found["customers"] > 5
    assert unnamed(found) == unnamed(expected)


def unnamed(found: dict[str, Any]) -> dict[str, Any]:
    """Without ids, which are another in every installation, and which decide who of equals comes first."""
    told = dict(found)
    for who in ("winners", "losers"):
        told[who] = sorted(json.dumps({**one, "customer": None}, sort_keys=True) for one in found[who])
    return told


def test_the_desk_of_every_replica_shows_a_customer_as_that_of_one_machine(shapes: Both) -> None:
    said = (
        {"traits": {"name": "Olga Seen"}},
        {"order_id": "seen-1"},
        {"text": "It broke.", "case_id": "seen-2"},
    )
    for place, (type, data) in enumerate(
        zip(("identified", "order_placed", "complaint_raised"), said, strict=True)
    ):
        shapes.cloudevents([event(type, data, who="seen", id=f"seen-{place}", days_ago=9 - place)])
    shapes.settled()

    def shown(desk: Desk) -> list[str]:
        """The page, a why, what the timeline brings, and whom the search finds."""
        here = str(desk.http.base_url).rstrip("/")
        with httpx.Client(base_url=here, headers={"Origin": here}, timeout=60) as agent:
            assert agent.post("/desk/sign-in", data={"key": desk.agent}).status_code == 303
            agent.headers["X-CSRF-Token"] = token_of(agent)
            path = f"/desk/customers/{desk.card(('user_id', 'seen'))['customer']}"
            answers = [
                agent.get(f"{path}{more}") for more in ("", "/scores/trust", "/timeline?f=1", "/lines")
            ]
            answers += [
                agent.post("/desk/find", data={"q": "olga s"}),
                agent.post("/desk/find", data={"q": "seen-1"}),
            ]
            assert [one.status_code for one in (*answers, agent.get("/desk/overview"))] == [200] * 7
            return [words_of(one.text) for one in answers]

    one = shown(shapes.desk)
    assert all(text in one[0] for text in ("Olga Seen", "It broke.", "seen-1"))
    assert all("Olga" in found for found in one[-2:])
    shapes.replicas[0].until(lambda: [shown(desk) for desk in shapes.desks] == [shown(shapes.desk)] * 2)


def test_a_policy_is_simulated_as_on_one_machine(shapes: Both, tmp_path: Path) -> None:
    shapes.settled()
    file = tmp_path / "policy.yaml"
    standard = (resources.files("touchbook") / "policies" / "standard.yaml").read_text("utf-8")
    file.write_text(standard.replace("hold: 15m", "caps: [{name: never, most: 0, window: 1d}]", 1))
    asked = ("policy", "simulate", file, "--from", "2025-01-01", "--data")
    many = answer(*asked, tmp_path / "own", env=shapes.machines.environment)
    alone = answer(*asked, shapes.book.settings.data)
    assert alone["candidate"] != alone["live"]
    for told in (many, alone):
        told["most_changed"] = sorted((one["live"], one["candidate"]) for one in told["most_changed"])
    assert many == alone


def test_a_worker_tells_that_nothing_is_behind(shapes: Both) -> None:
    shapes.settled()
    for replica in shapes.replicas:
        assert replica.answers("/readyz")

    def told() -> str:
        return httpx.get(f"{shapes.worker.url}/metrics", timeout=5).text

    shapes.worker.until(lambda: 'touchbook_worker_lag_records{part="0"} 0.0' in told())
    shapes.worker.until(lambda: 'touchbook_worker_ingress_lag_records{part="kiosk:0"} 0.0' in told())
    begun = json.loads(next(line for line in shapes.worker.log.read_text().splitlines() if line[:1] == "{"))
    assert (begun["state"], begun["url"]) == ("working", shapes.worker.url)


def test_the_topic_of_scores_says_how_a_replica_lists_everybody(shapes: Both) -> None:
    shapes.cloudevents([event("order_placed", {"order_id": f"new-{n}"}, who=f"new-{n}") for n in range(3)])
    shapes.settled()
    cards = [card["name"] for card in shapes.desks[0].get("/v1/scorecards")["items"]]

    def listed() -> dict[tuple[str, str], int]:
        """(customer, score) → value, of everybody who has one; a handful."""
        pages = {name: shapes.desks[0].get("/v1/customers", score=name, limit=500)["items"] for name in cards}
        return {(one["customer"], name): one["value"] for name, items in pages.items() for one in items}

    def told() -> dict[tuple[str, str], int]:
        said = {
            who: json.loads(value) for who, value in dict(records(shapes.machines.place)).items() if value
        }
        return {
            (who, name): one["value"]
            for who, state in said.items()
            for name, one in state["scores"].items()
            if one["value"] is not None
        }

    shapes.replicas[0].until(lambda: len(found := listed()) > 3 and told() == found)


def test_response_times_are_those_of_one_machine(shapes: Both) -> None:
    waits = {"asks-1": 30, "asks-2": 210, "asks-3": 6_000}
    for who, seconds in waits.items():
        for role, after in (("customer", 0), ("bot", seconds), ("agent", 2 * seconds)):
            data = {"thread": who, "text": "Where is it?", "actor": {"kind": role}}
            ago = 3 - after / 86_400
            shapes.cloudevents(
                [event("chat_message_sent", data, who=who, days_ago=ago, id=f"{who}-{role}", channel="video")]
            )
    shapes.settled()
    span = [rfc3339(NOON + days * MILLISECONDS_A_DAY) for days in (-400, 1)]

    def told(desk: Desk) -> Any:
        found = desk.get("/v1/metrics/response", by="channel", **dict(zip(("from", "to"), span, strict=True)))
        return {**found, "as_of": None}  # when it was counted, by each for itself

    def of_chats(desk: Desk) -> Any:
        return next((one for one in told(desk)["all"] if one["of"] == "video"), {"n": 0})

    desks = [*shapes.desks, shapes.desk]
    shapes.replicas[0].until(lambda: all(of_chats(desk)["n"] == len(waits) for desk in desks))
    assert [of_chats(desk)["median_seconds"] for desk in desks] == [210] * len(desks)
    shapes.replicas[0].until(lambda: all(told(desk) == told(shapes.desk) for desk in shapes.desks))
