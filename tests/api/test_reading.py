from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.api.serving import WHEN, Server, chat, problem_of, track
from touchbook.api import models
from touchbook.api.reads import language_of
from touchbook.schemas.times import rfc3339
from touchbook.wiring import now

C = "/v1/customers/user_id:42"
READS = {
    C: models.Card,
    f"{C}/context": models.Context,
    f"{C}/timeline": models.Timeline,
    f"{C}/scores": models.Scores,
    f"{C}/scores/loyalty/explain": models.Explanation,
    f"{C}/buying": models.Buying,
    f"{C}/interests": models.Interests,
}


def a_life(server: Server) -> None:
    """One customer with a name, orders, an interest, an open case, a promise, a question and a consent."""
    server.publish(
        {
            "type": "identify",
            "userId": "42",
            "traits": {"name": "Ann", "email": "ann@example.test"},
            "messageId": "i",
        },
        track(messageId="first"),
        track(timestamp="2026-05-02T09:15:00Z"),
        track("product_viewed", properties={"product": "Green tea", "category": "tea"}),
        track("case_opened", properties={"case": "C-7", "title": "Broken cup"}),
        track(
            "promise_made", properties={"promise": "P-1", "what": "A new cup", "due": "2026-03-09T00:00:00Z"}
        ),
        track("consent_granted", properties={"purpose": "offer"}),
    )
    server.event(chat())


def test_every_answer_is_as_documented(server: Server) -> None:
    a_life(server)
    for path, model in READS.items():
        answer = server.get(path)
        assert answer.status_code == 200, answer.text
        model.model_validate(answer.json(), strict=True)


def test_a_customer_is_found_by_any_identifier(server: Server) -> None:
    a_life(server)
    card = server.get(C).json()
    for one in card["identifiers"]:
        assert server.get(f"/v1/customers/{one['id']}").json() == card
    sought = {"type": "email", "value": "Ann@Example.test"}
    found = server.http.post("/v1/customers:lookup", json=sought, headers=server.as_("agent"))
    assert found.json() == card
    assert found.headers["etag"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"type": "email"}, 422, "value"),
        ({"type": "email", "value": 7}, 422, "value"),
        ({"type": "email", "value": "a@example.test", "more": 1}, 422, "more"),
        ({"type": "email", "value": "no mail"}, 422, None),
        ([], 422, ""),
    ],
)
def test_a_lookup_that_is_not_as_documented_names_the_field(
    server: Server, body: Any, status: int, field: str | None
) -> None:
    answer = server.http.post("/v1/customers:lookup", json=body, headers=server.as_("agent"))
    problem = problem_of(answer)
    assert answer.status_code == status
    assert "no mail" not in answer.text
    if field is not None:
        assert [(one["in"], one["field"]) for one in problem["errors"]] == [("body", field)]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (f"{C}/timeline?limit=0", "limit"),
        (f"{C}/timeline?limit=501", "limit"),
        (f"{C}/timeline?limit=many", "limit"),
        (f"{C}/timeline?cursor=nonsense", "cursor"),
        (f"{C}/timeline?from=yesterday", "from"),
        (f"{C}/timeline?to=2026-02-30", "to"),
        (f"{C}/timeline?direction=sideways", "direction"),
        (f"{C}/timeline?family=typo", "'commerce'"),
        (f"{C}/timeline/stream?family=typo", "family"),
        (f"{C}/timeline?audience=all", "audience"),
        (f"{C}/timeline?min_position=7", "min_position"),
        (f"{C}/timeline/stream?after=nonsense", "after"),
        (f"{C}/context?purpose=none", "purpose"),
        (f"{C}/scores?at=2026-2-3", "at"),
        (f"{C}/scores?at=tomorrow", "at"),
        (f"{C}/scores/loyalty/explain?at=2026-13-01", "at"),
        (f"{C}/scores/loyalty/explain?with=nothing_like_it", "with"),
        (f"{C}/buying?at=x", "at"),
        (f"{C}/interests?at=x", "at"),
    ],
)
def test_a_parameter_that_is_not_as_documented_is_named(server: Server, path: str, name: str) -> None:
    a_life(server)
    answer = server.get(path)
    assert answer.status_code in (400, 422)
    assert name in problem_of(answer)["message"]


def test_what_is_not_there_is_answered_404(server: Server) -> None:
    a_life(server)
    codes = {
        "/v1/customers/user_id:nobody": "customer_unknown",
        f"/v1/customers/{'0' * 32}/timeline": "customer_unknown",
        f"{C}/scores/luck/explain": "scorecard_unknown",
        f"{C}/scores/loyalty/explain?without={'0' * 32}": "touchpoint_unknown",
        "/v1/schemas/nothing": "type_unknown",
        "/v1/nothing": "route_unknown",
    }
    for path, code in codes.items():
        answer = server.get(path)
        assert (answer.status_code, problem_of(answer)["code"]) == (404, code)


def test_a_timeline_is_paged_newest_first_and_filtered(server: Server) -> None:
    for day in range(1, 6):
        server.publish(
            track(timestamp=f"2026-03-0{day}T12:00:00Z", context={"channel": "web" if day % 2 else "ar"})
        )

    def days(query: str) -> list[int]:
        items = server.get(f"{C}/timeline{query}").json()["items"]
        return [int(item["occurred_at"][8:10]) for item in items]

    first = server.get(f"{C}/timeline?limit=2").json()
    second = server.get(f"{C}/timeline?limit=2&cursor={first['next']}").json()
    assert [item["occurred_at"][8:10] for item in first["items"] + second["items"]] == [
        "05",
        "04",
        "03",
        "02",
    ]
    assert days("?channel=ar") == [4, 2]
    assert days("?from=2026-03-02&to=2026-03-03") == [3, 2]
    assert days("?from=2026-03-02T12:00:00Z&to=2026-03-03T12:00:00Z") == [2]
    assert days("?type=order_placed&family=commerce") == [5, 4, 3, 2, 1]
    assert days("?type=chat_message") == []


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("ru", "ru"),
        ("ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        ("en;q=0.5, ru;q=0.4", "en"),
        ("en;q=0.4, ru;q=0.5", "ru"),
        ("de, fr;q=0.9", "en"),
        ("de, ru;q=0.1", "ru"),
        ("*", "en"),
        ("en;q=0, ru;q=0.001", "ru"),
        ("ru;q=nonsense, en;q=0.1", "en"),
    ],
)
def test_the_language_is_the_best_of_ours(accepted: str, language: str) -> None:
    assert language_of(accepted) == language


def test_a_timeline_reads_in_the_language_asked_for(server: Server) -> None:
    a_life(server)
    english = server.get(f"{C}/timeline")
    russian = server.get(f"{C}/timeline", headers={"Accept-Language": "ru"})
    assert (english.headers["content-language"], russian.headers["content-language"]) == ("en", "ru")
    assert "Accept-Language" in russian.headers["vary"]
    words = [[item["headline"] for item in answer.json()["items"]] for answer in (english, russian)]
    assert all(one != other for one, other in zip(*words, strict=True))
    assert english.headers["etag"] != russian.headers["etag"]


def test_a_poller_gets_304_until_the_answer_would_change(server: Server) -> None:
    a_life(server)
    tags = {path: server.get(path).headers["etag"] for path in READS}
    assert all(tag.startswith('"') and tag.endswith('"') for tag in tags.values())
    for path, tag in tags.items():
        for known in (tag, f'"other", W/{tag}', "*"):
            unchanged = server.get(path, headers={"If-None-Match": known})
            assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", tag)
    server.publish({"type": "track", "userId": "somebody-else", "event": "chat_started", "messageId": "x"})
    assert all(server.get(path).headers["etag"] == tag for path, tag in tags.items())
    server.event(chat())
    for path, tag in tags.items():
        changed = server.get(path, headers={"If-None-Match": tag})
        assert (changed.status_code, changed.headers["etag"] == tag) == (200, False)


def test_a_link_changes_the_tag_of_every_answer(server: Server) -> None:
    a_life(server)
    server.publish({"type": "page", "anonymousId": "a-1", "messageId": "p"})
    before = {path: server.get(path).headers["etag"] for path in READS}
    server.publish({"type": "alias", "previousId": "a-1", "userId": "42", "messageId": "alias"})
    assert all(server.get(path).headers["etag"] != tag for path, tag in before.items())


def test_another_role_and_another_question_have_other_tags(server: Server) -> None:
    a_life(server)
    context = f"{C}/context"
    tags = [server.get(context, role=role).headers["etag"] for role in ("agent", "channel", "read-scores")]
    tags += [server.get(f"{context}?purpose={purpose}").headers["etag"] for purpose in ("offer", "survey")]
    assert len(set(tags)) == len(tags)


def test_keys_that_read_scores_see_neither_name_nor_traits_nor_words(server: Server) -> None:
    a_life(server)
    assert server.get(f"{C}/context").json()["name"] == "Ann"
    kept = server.get(f"{C}/context", role="read-scores")
    explained = server.get(f"{C}/scores/trust/explain", role="read-scores")
    assert {"name", "traits"}.isdisjoint(kept.json())
    assert "Ann" not in kept.text + explained.text
    assert "Where is my order?" not in kept.text + explained.text
    assert any(
        line["touchpoints"] for line in server.get(f"{C}/scores/loyalty/explain").json()["contributions"]
    )


def test_keys_that_read_scores_see_that_a_matter_is_open_and_none_of_its_words(server: Server) -> None:
    who = {"identifiers": {"user_id": "42"}}
    server.event(chat(type="case_opened", data={**who, "case_id": "C-7", "title": "The lamp is broken"}))
    promise = {"promise_id": "p-1", "what": "A new lamp by Friday", "due": "2099-01-01T00:00:00Z"}
    server.event(chat(type="promise_made", data={**who, **promise}))
    told = server.get(f"{C}/context").json()
    assert told["open"]["cases"][0]["title"] == "The lamp is broken"
    assert told["open"]["promises"][0]["what"] == "A new lamp by Friday"
    assert told["last_topics"]
    kept = server.get(f"{C}/context", role="read-scores")
    assert "lamp" not in kept.text
    assert [case["id"] for case in kept.json()["open"]["cases"]] == ["C-7"]
    assert [promise["state"] for promise in kept.json()["open"]["promises"]] == ["open"]
    assert kept.json()["last_topics"] == []


def test_a_channel_shows_the_customer_only_what_is_his(server: Server) -> None:
    note = {"identifiers": {"user_id": "42"}, "text": "Be careful."}
    server.event(chat())
    server.event(chat(type="note_added", data=note))
    own = server.get(f"{C}/timeline?audience=customer", role="channel").json()["items"]
    assert {item["type"] for item in own} == {"chat_message_sent"}
    assert {item["type"] for item in server.get(f"{C}/timeline").json()["items"]} == {
        "chat_message_sent",
        "note_added",
    }


def test_what_was_just_published_can_be_waited_for(server: Server) -> None:
    for number in range(20):
        call = track(userId=f"new-{number}")
        told = server.http.post("/v1/track", json=call, headers=server.as_("publish")).json()
        answer = server.get(
            f"/v1/customers/user_id:new-{number}/timeline?min_position={told['positions'][0]}&min_position=j1.1",
            headers={"Prefer": "respond-async, wait=20"},
        )
        assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait")
        assert [item["id"] for item in answer.json()["items"]] == [call["messageId"]]


def test_a_wait_that_was_not_granted_is_not_claimed(server: Server) -> None:
    server.event(chat())
    for path in (f"{C}/timeline", f"{C}/scores"):
        beyond = server.get(f"{path}?min_position=j1.999", headers={"Prefer": "wait=0"})
        unasked = server.get(f"{path}?min_position=j1.1")
        assert [answer.status_code for answer in (beyond, unasked)] == [200, 200]
        assert "preference-applied" not in {**beyond.headers, **unasked.headers}
    waited = server.http.post(
        "/v1/scores:batchGet?min_position=j1.1",
        json={"customers": ["user_id:42"]},
        headers={**server.as_("read-scores"), "Prefer": "wait=5"},
    )
    assert waited.headers["preference-applied"] == "wait"


def test_many_scores_at_once_are_those_of_each(server: Server) -> None:
    for user in ("1", "2", "3"):
        server.publish(*(track(userId=user) for _ in range(int(user))))
    body = {
        "customers": [
            "user_id:1",
            {"ref": "user_id:2", "at": "2026-03-01"},
            "user_id:nobody",
            "no reference",
            {"ref": "user_id:3"},
        ],
        "at": "2026-04-01",
    }
    answer = server.http.post("/v1/scores:batchGet", json=body, headers=server.as_("read-scores"))
    told = models.BatchGet.model_validate(answer.json(), strict=True)
    assert told.unknown == ["user_id:nobody", "no reference"]
    for item, at in zip(answer.json()["items"], ("2026-04-01", "2026-03-01", "2026-04-01"), strict=True):
        alone = server.get(f"/v1/customers/{item['ref']}/scores?at={at}").json()
        assert (item["customer"], item["scores"]) == (alone["customer"], alone["scores"])
    named = {"customers": ["user_id:1"], "scores": ["trust"]}
    answer = server.http.post("/v1/scores:batchGet", json=named, headers=server.as_("read-scores"))
    assert list(answer.json()["items"][0]["scores"]) == ["trust"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"customers": ["user_id:42"] * 1001}, 422),
        ({"customers": "user_id:42"}, 422),
        ({"customers": [7]}, 422),
        ({"customers": [], "at": "soon"}, 422),
        ({"customers": [], "at": "2026-02-30"}, 422),
        ({"customers": ["user_id:42"], "scores": ["luck"]}, 404),
    ],
)
def test_a_batch_that_is_not_as_documented_is_refused(
    server: Server, body: dict[str, Any], status: int
) -> None:
    server.event(chat())
    answer = server.http.post("/v1/scores:batchGet", json=body, headers=server.as_("read-scores"))
    assert (answer.status_code, problem_of(answer)["status"]) == (status, status)


def test_an_explanation_adds_up_and_answers_what_if(server: Server) -> None:
    a_life(server)
    (order,) = (item for item in server.get(f"{C}/timeline").json()["items"] if item["id"] == "first")
    path = f"{C}/scores/loyalty/explain?at=2026-06-01"
    told = server.get(f"{path}&without={order['key']}&with=review_positive").json()
    assert sum(line["milli_points"] for line in told["contributions"]) == told["score"]["milli_points"]
    assert told["without"]["score"]["milli_points"] < told["score"]["milli_points"]
    assert told["with"]["score"]["milli_points"] > told["score"]["milli_points"]
    plain = server.get(path).json()
    assert (plain["without"], plain["with"]) == (None, None)


def test_a_past_day_can_be_asked_for(server: Server) -> None:
    server.publish(track(timestamp=WHEN))
    before, after = (server.get(f"{C}/buying?at={day}").json() for day in ("2026-03-01", "2026-03-02"))
    assert (before["purchases"], after["purchases"], after["revenue"]) == (0, 1, {"EUR": 1250})


SPENDING = """\
version: 1
title: {en: Spending, ru: Траты}
description: {en: Money spent., ru: Потраченные деньги.}
value: {saturating: 1000}
tiers: {low: 0}
parts:
  money:
    - {id: euros, why: Money., signal: "spend:EUR", of: total, unit: 100, weight: 1000, half_life: 30, cap: 50}
"""


def test_what_if_takes_a_total_for_a_signal_with_a_colon_in_its_name(serve: Any, tmp_path: Path) -> None:
    cards = tmp_path / "cards"
    cards.mkdir()
    (cards / "spending.yaml").write_text(SPENDING)
    server = serve(scorecards=cards)
    server.publish(track("page_viewed", properties={}))
    told = server.get(f"{C}/scores/spending/explain", params={"with": "spend:EUR:600"}).json()
    assert told["with"]["score"]["milli_points"] == 6000
    told = server.get(f"{C}/scores/spending/explain", params={"with": "spend:EUR"}).json()
    assert told["with"]["score"]["milli_points"] == 0


def test_a_channel_that_nobody_named_is_no_way_to_reach_him(server: Server) -> None:
    nowhere = server.book.control.create_key("publish", "nowhere")[1]
    server.publish(track(), headers={"Authorization": f"Bearer {nowhere}"})
    assert server.get(f"{C}/timeline").json()["items"][0]["channel"] == "unknown"
    context, interests = server.get(f"{C}/context").json(), server.get(f"{C}/interests").json()
    assert "unknown" not in context["contact"]
    assert (context["preferred_channel"], interests["preferred_channel"]) == (None, None)
    assert interests["channels"] == []


def test_a_language_is_a_text_or_unknown(server: Server) -> None:
    traits = {"language": {"spoken": "ru"}, "locale": "ru-RU"}
    server.publish({"type": "identify", "userId": "42", "traits": traits, "messageId": "i"})
    assert server.get(f"{C}/context").json()["language"] == "ru-RU"


def test_what_a_source_ahead_of_us_says_is_new(server: Server) -> None:
    tomorrow = rfc3339(now() + 23 * 3_600_000)
    server.publish(track("case_opened", timestamp=tomorrow, properties={"case_id": "C-9"}))
    server.event(chat(time=tomorrow))
    matters = server.get(f"{C}/context").json()["open"]
    assert {one["age_days"] for one in (*matters["cases"], *matters["requests"])} == {0}


@pytest.mark.parametrize("place", [[1, "\ud800"], [1, "x"], [2**70, "0" * 32], ["1", "0" * 32], [1], 7])
def test_a_cursor_that_is_not_ours_is_refused(server: Server, place: Any) -> None:
    server.event(chat())
    cursor = base64.urlsafe_b64encode(json.dumps(place).encode()).decode()
    answer = server.get(f"{C}/timeline?cursor={cursor}")
    assert (answer.status_code, problem_of(answer)["code"]) == (400, "cursor_invalid")
