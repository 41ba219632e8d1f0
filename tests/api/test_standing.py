from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.api.serving import Server, chat, problem_of, track
from tests.api.test_streaming import Event
from touchbook.api import models
from touchbook.api.standing import Feed
from touchbook.schemas.times import rfc3339
from touchbook.wiring import now

USERS = ("ann", "bob", "cid", "dee")
HOUR = 3_600_000


def lately(hours_ago: float = 1) -> str:
    return rfc3339(now() - int(hours_ago * HOUR))


def bought(who: str, times: int = 1, hours_ago: float = 1) -> list[dict[str, Any]]:
    """So many orders, each on a day of its own."""
    return [track(userId=who, timestamp=lately(hours_ago + 30 * n)) for n in range(times)]


def seen(server: Server) -> Server:
    """Everything published is in the watch."""
    server.settle()
    server.book.watch.look()
    return server


def listed(server: Server, query: str, role: str = "read-scores") -> list[dict[str, Any]]:
    """All pages of a list."""
    items: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = server.get(f"/v1/customers?{query}{cursor}", role=role)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        models.StandingList.model_validate(page, strict=True)
        items += page["items"]
        if page["next"] is None:
            return items
        cursor = f"&cursor={page['next']}"


def scores_of(server: Server, ref: str) -> dict[str, Any]:
    return dict(server.get(f"/v1/customers/{ref}/scores", role="read-scores").json()["scores"])


def as_listed(server: Server, score: str) -> list[tuple[str, int, str | None, int]]:
    """Everybody with a value, as the scores of each say."""
    found = []
    for who in USERS:
        told = server.get(f"/v1/customers/user_id:{who}/scores", role="read-scores")
        if told.status_code == 200 and (one := told.json()["scores"][score])["value"] is not None:
            found.append((told.json()["customer"], one["value"], one["tier"], one["milli_points"]))
    return found


def row(item: dict[str, Any]) -> tuple[str, int, str | None, int]:
    return item["customer"], item["value"], item["tier"], item["milli_points"]


@pytest.fixture
def shop(server: Server) -> Server:
    """Three who bought, more and less, and one of whom nothing is known."""
    calls = [*bought("ann", 1), *bought("bob", 9), *bought("cid", 30)]
    server.publish(*calls, {"type": "identify", "userId": "dee", "messageId": "dee"})
    return seen(server)


@contextmanager
def following(server: Server, query: str = "", last: str | None = None) -> Iterator[Iterator[Event]]:
    headers = {**server.as_("read-scores"), **({"Last-Event-ID": last} if last else {})}
    with server.http.stream("GET", f"/v1/changes{query}", headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield (held(one) for one in events_or_ids(answer.iter_lines()) if one.kind)


def held(event: Event) -> Event:
    """Against its model."""
    if event.kind == "change":
        models.ChangeOut.model_validate(event.data, strict=True)
    return event


def events_or_ids(lines: Iterator[str]) -> Iterator[Event]:
    """An id may come alone."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if line == "" and fields:
            yield Event(fields.get("event", ""), fields.get("id", ""), json.loads(fields.get("data", "null")))
            fields = {}
        elif name:
            fields[name] = value.removeprefix(" ")


def test_everybody_is_listed_by_a_score_from_either_end_as_his_own_scores_say(shop: Server) -> None:
    expected = as_listed(shop, "loyalty")
    assert len(expected) == len(USERS)
    down = [row(item) for item in listed(shop, "score=loyalty")]
    up = [row(item) for item in listed(shop, "score=loyalty&order=value")]
    assert sorted(down) == sorted(up) == sorted(expected)
    assert [one[1] for one in down] == sorted((one[1] for one in expected), reverse=True)
    assert [one[1] for one in up] == sorted(one[1] for one in expected)


@pytest.mark.parametrize("order", ["-value", "value"])
def test_pages_of_one_are_the_whole_list(shop: Server, order: str) -> None:
    whole = listed(shop, f"score=loyalty&order={order}")
    assert listed(shop, f"score=loyalty&order={order}&limit=1") == whole


@pytest.mark.parametrize(
    "other", ["score=churn_risk", "score=loyalty&order=value", "score=loyalty&tier=loyal"]
)
def test_a_cursor_of_another_question_is_refused(shop: Server, other: str) -> None:
    given = shop.get("/v1/customers?score=loyalty&limit=1", role="read-scores").json()["next"]
    answer = shop.get(f"/v1/customers?{other}&cursor={given}", role="read-scores")
    assert answer.status_code == 400
    problem = problem_of(answer)
    assert problem["code"] == "cursor_invalid"
    assert "the same score, tier and order" in problem["message"]
    on = shop.get(f"/v1/customers?score=loyalty&limit=2&cursor={given}", role="read-scores")
    assert on.status_code == 200  # how many one takes at once is no part of the question


def test_a_tier_lists_those_who_are_in_it(shop: Server) -> None:
    tiers = {item["tier"] for item in listed(shop, "score=loyalty")}
    assert len(tiers) > 1
    for tier in tiers:
        expected = [item for item in listed(shop, "score=loyalty") if item["tier"] == tier]
        assert listed(shop, f"score=loyalty&tier={tier}") == expected


@pytest.mark.parametrize("path", ["/v1/customers", "/v1/changes"])
@pytest.mark.parametrize(
    ("query", "named", "told"),
    [
        ("score=loyality", "score", "loyalty"),
        ("score=loyalty&tier=critical", "tier", "returning, "),
    ],
)
def test_a_wrong_score_or_tier_is_named_and_all_there_are_are_told(
    server: Server, path: str, query: str, named: str, told: str
) -> None:
    problem = problem_of(answer := server.get(f"{path}?{query}", role="read-scores"))
    assert (answer.status_code, problem["code"]) == (422, "parameter_invalid")
    assert problem["message"].startswith(f"query {named}: expected one of ")
    assert told in problem["message"]


@pytest.mark.parametrize(
    ("path", "status", "named"),
    [
        ("/v1/customers", 422, "query score: expected one of "),
        ("/v1/customers?score=loyalty&order=up", 422, "query order"),
        ("/v1/customers?score=loyalty&limit=501", 422, "query limit"),
        ("/v1/customers?score=loyalty&cursor=mine", 400, "cursor"),
        ("/v1/changes?tier=loyal", 422, "query score: expected one of "),
        ("/v1/changes?matter=love", 422, "query matter"),
        ("/v1/changes?after=mine", 400, "after"),
    ],
)
def test_what_else_is_wrong_is_named(server: Server, path: str, status: int, named: str) -> None:
    seen(server)
    answer = server.get(path, role="read-scores")
    assert answer.status_code == status
    assert problem_of(answer)["message"].startswith(named)


def test_a_list_and_the_changes_from_it_leave_no_gap(shop: Server) -> None:
    page = shop.get("/v1/customers?score=loyalty").json()
    before = scores_of(shop, "user_id:ann")["loyalty"]
    shop.publish(*bought("ann", 20))
    seen(shop)
    with following(shop, f"?score=loyalty&after={page['changes_from']}") as changes:
        change = next(changes)
    after = scores_of(shop, "user_id:ann")["loyalty"]
    assert change.kind == "change"
    assert change.data["scores"]["loyalty"] == {
        "before": {name: before[name] for name in ("value", "tier")},
        "after": {name: after[name] for name in ("value", "tier")},
    }
    assert change.data["customer"] == shop.get("/v1/customers/user_id:ann").json()["customer"]
    assert change.data["version"] == shop.get("/v1/customers/user_id:ann").json()["version"]


def test_changes_come_while_one_listens(shop: Server) -> None:
    with following(shop, "?score=loyalty") as changes:
        shop.publish(*bought("bob", 30))
        assert next(changes).data["scores"]["loyalty"]["after"]["value"] is not None


def test_a_request_is_opened_and_closed_and_nobodys_words_are_told(shop: Server) -> None:
    since = shop.get("/v1/customers?score=loyalty").json()["changes_from"]
    asked = chat(time=lately(2))
    shop.event(asked)
    seen(shop)
    reply = {
        "identifiers": {"user_id": "42"},
        "thread": "t-1",
        "text": "On its way",
        "actor": {"kind": "agent"},
    }
    shop.event(chat(time=lately(1), data=reply))
    seen(shop)
    with following(shop, f"?matter=request&after={since}") as changes:
        told = [next(changes).data["matters"], next(changes).data["matters"]]
    assert told == [{"opened": ["request"], "closed": []}, {"opened": [], "closed": ["request"]}]
    with following(shop, f"?after={since}") as changes:
        texts = json.dumps([next(changes).data, next(changes).data])
    assert not [word for word in ("Where is", "On its way", "t-1", asked["id"]) if word in texts]


def test_a_feed_tells_of_its_own_score_tier_and_matter_alone(shop: Server) -> None:
    since = shop.get("/v1/customers?score=loyalty").json()["changes_from"]
    shop.event(
        chat(time=lately(2), data={"identifiers": {"user_id": "dee"}, "thread": "t", "text": "Hello?"})
    )
    shop.publish(*bought("ann", 30))
    seen(shop)
    ann, dee = (shop.get(f"/v1/customers/user_id:{who}").json()["customer"] for who in ("ann", "dee"))
    tiers = {item["customer"]: item["tier"] for item in listed(shop, "score=loyalty")}
    for query, who in (
        ("matter=request", dee),
        ("score=loyalty", ann),
        (f"score=loyalty&tier={tiers[ann]}", ann),
    ):
        with following(shop, f"?{query}&after={since}") as changes:
            assert next(changes).data["customer"] == who, query


@pytest.mark.parametrize("cuts", [[1, 1, 1, 1], [3, 1], [1, 3]])
def test_a_feed_cut_anywhere_goes_on_where_it_was(shop: Server, cuts: list[int]) -> None:
    since = shop.get("/v1/customers?score=loyalty").json()["changes_from"]
    for n in range(4):
        shop.publish(*bought("bob", 12 * (n + 1)))
        seen(shop)
    with following(shop, f"?score=loyalty&after={since}") as changes:
        whole = [next(changes).data for _ in range(4)]
    told, last = [], None
    for cut in cuts:
        with following(shop, f"?score=loyalty&after={since}", last) as changes:
            for _ in range(cut):
                change = next(changes)
                told.append(change.data)
                last = change.id
    assert told == whole


def test_who_became_part_of_another_is_gone_in_every_feed(shop: Server) -> None:
    shop.publish({"type": "page", "anonymousId": "a-1", "messageId": "p", "timestamp": lately(400)})
    before = {
        shop.get(f"/v1/customers/{ref}").json()["customer"] for ref in ("user_id:ann", "anonymous_id:a-1")
    }
    seen(shop)
    since = shop.get("/v1/customers?score=loyalty").json()["changes_from"]
    shop.publish({"type": "alias", "previousId": "a-1", "userId": "ann", "messageId": "alias"})
    seen(shop)
    stays = shop.get("/v1/customers/user_id:ann").json()["customer"]
    with following(shop, f"?score=trust&after={since}") as changes:
        change = next(change for change in changes if change.data["gone"])
    assert {change.data["customer"], stays} == before


def test_a_mirror_of_list_and_changes_is_the_list_in_the_end(shop: Server) -> None:
    page = shop.get("/v1/customers?score=loyalty&limit=500").json()
    mirror = {item["customer"]: (item["value"], item["tier"]) for item in page["items"]}
    random_ = random.Random(7)
    for _ in range(6):
        shop.publish(
            *bought(random_.choice(USERS), random_.choice([1, 5, 20]), random_.choice([1, 900, 3000]))
        )
        seen(shop)
    end = {item["customer"]: (item["value"], item["tier"]) for item in listed(shop, "score=loyalty")}
    with following(shop, f"?after={page['changes_from']}") as changes:
        while mirror != end:
            change = next(changes).data
            if "loyalty" in change["scores"]:
                after = change["scores"]["loyalty"]["after"]
                mirror[change["customer"]] = (after["value"], after["tier"])
    assert mirror == end


def test_before_everybody_was_looked_at_lists_say_when_to_come_back(server: Server, monkeypatch: Any) -> None:
    monkeypatch.setattr(type(server.book.watch), "as_of", property(lambda self: None))
    answer = server.get("/v1/customers?score=loyalty")
    assert (answer.status_code, problem_of(answer)["code"]) == (503, "not_counted_yet")


def test_a_feed_from_too_long_ago_says_reload_first_and_goes_on(shop: Server) -> None:
    with following(shop, "?score=loyalty", last="0123456789ab.1.1700000000000") as changes:
        reload = next(changes)
        shop.publish(*bought("ann", 30))
        assert (reload.kind, reload.id, next(changes).kind) == ("reload", "", "change")


@pytest.mark.parametrize(
    "ahead",
    [
        lambda salt, seq, at: f"{salt}.{int(seq) + 1000}.{at}",
        lambda salt, seq, at: f"{salt}.{seq}.{int(at) + 400 * 24 * HOUR}",
        lambda salt, seq, at: f"{'0' * 12}.{seq}.{int(at) + 400 * 24 * HOUR}",
    ],
    ids=["more changes than there were", "a later day", "a later day of another replica"],
)
def test_a_feed_from_the_future_says_reload_first_and_goes_on(shop: Server, ahead: Any) -> None:
    token = ahead(*shop.book.watch.last().split("."))
    with following(shop, last=token) as changes:
        assert next(changes).kind == "reload"
        shop.publish(*bought("ann", 20))
        seen(shop)
        assert next(changes).kind == "change"


def test_a_feed_that_lets_nothing_pass_says_how_far_it_has_come(shop: Server) -> None:
    since = shop.get("/v1/customers?score=loyalty").json()["changes_from"]
    shop.event(chat(time=lately(1)))
    seen(shop)
    headers = shop.as_("read-scores")
    with shop.http.stream("GET", f"/v1/changes?matter=promise&after={since}", headers=headers) as answer:
        far = next(events_or_ids(answer.iter_lines()))
    assert (far.kind, far.data) == ("", None)
    shop.event(
        chat(time=lately(1), data={"identifiers": {"user_id": "bob"}, "thread": "t-2", "text": "Hello?"})
    )
    with following(shop, "?matter=request", last=far.id) as changes:
        assert next(changes).data["customer"] == shop.get("/v1/customers/user_id:bob").json()["customer"]


def test_the_erased_are_in_no_list_and_no_feed(shop: Server) -> None:
    since = shop.get("/v1/customers?score=loyalty").json()["changes_from"]
    shop.publish(*bought("ann", 30))
    seen(shop)
    ann = shop.get("/v1/customers/user_id:ann").json()["customer"]
    erased = shop.http.post("/v1/customers:erase", json={"ref": "user_id:ann"}, headers=shop.as_("admin"))
    assert erased.json()["state"] == "done"
    shop.publish(*bought("bob", 30))
    seen(shop)
    assert ann not in {item["customer"] for item in listed(shop, "score=loyalty")}
    with following(shop, f"?after={since}") as changes:
        assert next(changes).data["customer"] == shop.get("/v1/customers/user_id:bob").json()["customer"]


def test_while_everybody_is_looked_at_anew_a_feed_is_silent_and_then_says_reload_once(
    shop: Server, monkeypatch: Any
) -> None:
    with monkeypatch.context() as anew:
        anew.setattr(type(shop.book.watch), "as_of", property(lambda self: None))
        feed = Feed(shop.book.watch, lambda change: True)
        assert feed.look("0123456789ab.1.1700000000000") == (False, "0123456789ab.1.1700000000000", ())
    reload, token, _ = feed.look("0123456789ab.1.1700000000000")
    assert reload
    assert feed.look(token)[0] is False
