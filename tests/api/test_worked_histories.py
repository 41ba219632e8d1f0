"""The worked histories, published as touchpoints through the door, give the numbers they are known for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from touchbook.cli.demo import settle
from touchbook.cli.serve import running
from touchbook.ledger import MILLISECONDS_A_DAY
from touchbook.schemas.times import day_text, milliseconds, rfc3339
from touchbook.settings import settings_from
from touchbook.wiring import now

WORKED = yaml.safe_load((Path(__file__).parents[1] / "rules" / "scorecard_histories.yaml").read_text("utf-8"))
BATCH = "application/cloudevents-batch+json"
TODAY = now() // MILLISECONDS_A_DAY

SENDS: dict[str, tuple[str, dict[str, Any]]] = {
    "purchase": ("order_placed", {"order_id": "o-{n}"}),
    "order_reversed": ("order_cancelled", {"order_id": "o-{n}"}),
    "stage_shown": ("order_stage_changed", {"order_id": "o-{n}", "stage": "packed"}),
    "product_view": ("product_viewed", {"product_id": "p-1"}),
    "page_view": ("page_viewed", {"name": "Home"}),
    "app_open": ("app_opened", {}),
    "message_marketing": ("message_sent", {"purpose": "offer"}),
    "message_service": ("message_sent", {"purpose": "service"}),
    "message_open": ("message_opened", {}),
    "message_click": ("message_clicked", {}),
    "message_in": ("chat_message_sent", {"text": "Where is it?", "actor": {"kind": "customer"}}),
    "content_useful": ("message_rated", {"useful": True}),
    "unsubscribed": ("unsubscribed", {}),
    "spam_report": ("reported_as_spam", {}),
    "promise_kept": ("promise_kept", {"promise_id": "v-{n}"}),
    "promise_broken": ("promise_broken", {"promise_id": "v-{n}"}),
    "request_answered": ("request_answered", {}),
    "request_late": ("request_late", {}),
    "request_ignored": ("request_ignored", {}),
    "bot_failed": ("bot_failed", {}),
    "bot_up": ("bot_rated", {"helpful": True}),
    "complaint": ("complaint_raised", {"text": "It never came.", "reason": "delivery"}),
    "complaint_resolved": ("complaint_resolved", {"reason": "delivery"}),
    "case_resolved": ("case_resolved", {"case_id": "c-{n}"}),
    "survey_sent": ("survey_sent", {}),
    "emotion_positive": ("emotion_observed", {"emotion": "joy", "valence": "positive", "source": "agent"}),
    "emotion_negative": ("emotion_observed", {"emotion": "anger", "valence": "negative", "source": "agent"}),
    "referral_made": ("referral_made", {}),
    "referral_converted": ("referral_converted", {}),
    "review_positive": ("review_posted", {"rating": 5}),
    "community_post": ("community_posted", {"text": "Look what I made."}),
    "stance_defends": ("brand_mentioned", {"stance": "defends", "text": "That is not so."}),
    "mention_positive": ("brand_mentioned", {"stance": "praises", "text": "Lovely."}),
    "suggestion": ("suggestion_submitted", {"text": "Add a wish list."}),
    "feedback_acknowledged": ("feedback_acknowledged", {}),
    "feedback_acted": ("feedback_acted_on", {"outcome": "There is a wish list now."}),
    "webinar": ("webinar_attended", {"webinar": "Care"}),
    "session_seconds": ("session_ended", {"seconds": "{total}"}),
    "ar_object": ("ar_object_viewed", {"name": "Chair"}),
    "ar_seconds": ("ar_session_ended", {"seconds": "{total}"}),
    "rec_click": ("recommendation_clicked", {"recommender": "r"}),
    "rec_dismiss": ("recommendation_dismissed", {"recommender": "r"}),
}
ANSWERS = {
    "csat_good": {"csat": 5},
    "csat_mid": {"csat": 3},
    "ces_easy": {"ces": 6},
    "nps_promoter": {"nps": 10},
}
ANSWERS |= {"csat_bad": {"csat": 1}}


def ages_of(text: object) -> Iterator[tuple[int, int, int]]:
    """(age in days, count, total) of each term of a worked history."""
    for term in str(text).split(","):
        match = re.fullmatch(r"\s*(\d+)(?:\.\.(\d+)/(\d+))?(?:x(\d+))?(?:=(\d+))?", term)
        assert match, term
        oldest, newest, step, count, total = match.groups()
        for age in range(int(oldest), int(newest or oldest) - 1, -int(step or 1)):
            yield age, int(count or 1), int(total or 0)


def filled(data: dict[str, Any], n: int, total: int) -> dict[str, Any]:
    return {
        name: total
        if value == "{total}"
        else value.replace("{n}", str(n))
        if isinstance(value, str)
        else value
        for name, value in data.items()
    }


def touchpoints_of(name: str, history: dict[str, object]) -> list[dict[str, Any]]:
    """What channels would have published: a survey's answers of one day are one touchpoint."""
    sent: list[tuple[int, str, dict[str, Any]]] = []
    answered: dict[int, dict[str, Any]] = {}
    for signal, text in history.items():
        for age, count, total in ages_of(text):
            if signal == "survey_answer":
                answered.setdefault(age, {})
            elif signal in ANSWERS:
                answered.setdefault(age, {}).update(ANSWERS[signal])
            else:
                type, data = SENDS[signal]
                sent += [(age, type, filled(data, len(sent) + n, total)) for n in range(count)]
    sent += [(age, "survey_answered", data) for age, data in answered.items()]
    sent = sent or [
        (0, "account_notified", {"about": "terms"})
    ]  # a stranger exists by a touchpoint without signals
    return [
        {
            "specversion": "1.0",
            "id": f"{name}-{place}",
            "source": "worked",
            "type": type,
            "time": rfc3339((TODAY - age) * MILLISECONDS_A_DAY + 1000),
            "data": {**data, "identifiers": {"user_id": name}},
        }
        for place, (age, type, data) in enumerate(sent)
    ]


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A recommender's client of a server that took every history in."""
    settings = settings_from(data=tmp_path_factory.mktemp("worked"), port=0)
    with running(settings) as server, httpx.Client(base_url=server.url, timeout=60) as http:
        publisher = server.book.control.create_key("publish", "worked", "web")[1]
        for name, history in WORKED["histories"].items():
            for events in batched(touchpoints_of(name, history), 1000):
                headers = {"Authorization": f"Bearer {publisher}", "Content-Type": BATCH}
                answer = http.post("/v1/events", content=json.dumps(events), headers=headers)
                assert (answer.status_code, answer.json()["rejected"]) == (200, [])
        assert server.book.follower.wait(server.book.journal.head(), 60)
        http.headers["Authorization"] = (
            f"Bearer {server.book.control.create_key('read-scores', 'recommender')[1]}"
        )
        yield http


POLICY = """
policy: 1
versions:
- version: worked-1
  from: 1970-01-01
  grace: 0s
  reply: {targets: [{within: 4h}], ignored_after: 72h}
"""
NEVER = 3 * MILLISECONDS_A_DAY
IGNORED = [name for name, history in WORKED["histories"].items() if "request_ignored" in history]


def asked_instead(event: dict[str, Any]) -> dict[str, Any]:
    """For a verdict that a help desk published, what the customer wrote three days before; all else as it is."""
    if event["type"] != "request_ignored":
        return event
    said = {"text": "Is anybody there?", "actor": {"kind": "customer"}, "thread": event["id"]}
    at = milliseconds(event["time"], "time") - NEVER
    return {
        **event,
        "type": "chat_message_sent",
        "time": rfc3339(at),
        "data": {**said, "identifiers": event["data"]["identifiers"]},
    }


@pytest.mark.parametrize("name", IGNORED)
def test_who_is_ignored_loses_as_much_trust_when_nobody_says_that_he_was(tmp_path: Path, name: str) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    settings = settings_from(data=tmp_path / "data", port=0, policy=policy, clock=False, sweep_share=1.0)
    with running(settings) as server, httpx.Client(base_url=server.url, timeout=60) as http:
        book = server.book
        publisher, reader = (
            book.control.create_key(role, "worked", channel)[1]
            for role, channel in (("publish", "web"), ("read-scores", None))
        )

        def trust() -> list[Any]:
            assert book.follower.wait(book.journal.head(), 60)
            http.headers["Authorization"] = f"Bearer {reader}"
            asked = http.get(f"/v1/customers/user_id:{name}/scores", params={"at": day_text(TODAY)})
            score = asked.json()["scores"]["trust"]
            return [score["milli_points"], score["value"], score["tier"]]

        events = [asked_instead(event) for event in touchpoints_of(name, WORKED["histories"][name])]
        assert "request_ignored" not in {event["type"] for event in events}
        for some in batched(events, 1000):
            headers = {"Authorization": f"Bearer {publisher}", "Content-Type": BATCH}
            assert http.post("/v1/events", content=json.dumps(some), headers=headers).status_code == 200
        before = trust()
        settle(book)
        assert trust() == WORKED["expected"][name]["trust"]
        assert trust()[0] < before[0]


def batched(events: list[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    return (events[start : start + size] for start in range(0, len(events), size))


@pytest.mark.parametrize("name", WORKED["histories"])
def test_a_worked_history_gives_its_milli_points_values_and_tiers(scores: httpx.Client, name: str) -> None:
    answer = scores.get(f"/v1/customers/user_id:{name}/scores", params={"at": day_text(TODAY)})
    told = {
        card: [score["milli_points"], score["value"], score["tier"]]
        for card, score in answer.json()["scores"].items()
    }
    assert told == WORKED["expected"][name]
