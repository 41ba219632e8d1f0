from __future__ import annotations

import math
import random
from typing import Any

import pytest

from tests.api.serving import Server, chat, problem_of
from tests.api.test_standing import seen
from touchbook.api import models
from touchbook.schemas.times import rfc3339
from touchbook.wiring import now

MINUTE = 60_000
HOUR = 60 * MINUTE
AGO = 30 * HOUR
"""When the stories of these tests begin: long enough ago for a chat's target, too short for being ignored."""
FIELDS = ("median_seconds", "p90_seconds", "median_working_seconds", "p90_working_seconds")


class Story:
    """One customer's messages, minutes after a beginning."""

    def __init__(self, server: Server, who: str = "42", ago: int = AGO) -> None:
        self.server, self.who = server, who
        self.begin = now() - ago

    def says(self, minute: float, role: str = "customer", thread: str = "t-1", **more: Any) -> str:
        """The message's key."""
        data = {"identifiers": {"user_id": self.who}, "thread": thread, "text": "secret words"}
        actor = {name: more.pop(name) for name in ("name", "team") if name in more}
        if role != "customer":
            data |= {"actor": {"kind": role, **actor}, "direction": "out"}
        type_ = more.pop("type", "chat_message_sent")
        channel = more.pop("channel", "web_chat")
        made = chat(type=type_, channel=channel, time=self.at(minute), data=data | more)
        answer = self.server.event(made)
        assert answer.status_code == 200, answer.text
        timeline = self.server.get(f"/v1/customers/user_id:{self.who}/timeline?limit=500").json()["items"]
        return str(next(one["key"] for one in timeline if one["id"] == made["id"]))

    def at(self, minute: float) -> str:
        return rfc3339(self.begin + int(minute * MINUTE))


def requests_of(server: Server, query: str = "") -> list[dict[str, Any]]:
    answer = server.get(f"/v1/customers/user_id:42/requests{query}")
    assert answer.status_code == 200, answer.text
    models.Requests.model_validate(answer.json(), strict=True)
    return list(answer.json()["items"])


def test_a_turn_tells_bot_and_human_apart_and_notes_never_count(server: Server) -> None:
    story = Story(server)
    opening = story.says(0)
    story.says(1)
    story.says(1.5, "agent", internal=True)
    bot = story.says(2, "bot")
    story.says(12, "agent", name="Ines Costa", team="support")
    (turn,) = requests_of(server)
    assert (turn["key"], turn["thread"], turn["channel"]) == (opening, "t-1", "web_chat")
    assert (turn["opened"], turn["messages"], turn["first"], turn["open"]) == (story.at(0), 2, True, False)
    assert turn["reply"] == {"key": bot, "at": story.at(2), "by": "bot", "agent": None, "team": None}
    assert (turn["seconds"], turn["working_seconds"]) == (120, 120)
    assert turn["bot"] == {"at": story.at(2), "seconds": 120, "working_seconds": 120}
    assert turn["human"] == {"at": story.at(12), "seconds": 720, "working_seconds": 720}
    assert turn["target"] == {
        "seconds": 900, "time": "calendar", "due": story.at(15), "policy": "standard-1"
    }  # fmt: skip


def test_a_second_turn_is_not_the_first_and_one_after_the_end_is_again(server: Server) -> None:
    story = Story(server)
    story.says(0)
    story.says(5, "agent", name="Ines Costa")
    story.says(10)
    story.says(11, "agent", name="Ines Costa")
    story.says(12, type="chat_ended", role="agent")
    story.says(20)
    turns = requests_of(server)
    assert [turn["first"] for turn in turns] == [True, False, True]
    assert [turn["open"] for turn in turns] == [True, False, False]
    assert [turn["opened"] for turn in turns] == [story.at(minute) for minute in (20, 10, 0)]


def test_a_thread_that_we_began_has_no_first_turn(server: Server) -> None:
    story = Story(server)
    story.says(0, "agent", name="Ines Costa")
    story.says(5)
    (turn,) = requests_of(server)
    assert (turn["first"], turn["open"]) == (False, True)


def test_the_clock_of_an_open_one_runs(server: Server) -> None:
    story = Story(server, ago=20 * MINUTE)
    story.says(0)
    before = server.get("/v1/customers/user_id:42/requests")
    (turn,) = before.json()["items"]
    assert 20 * 60 <= turn["seconds"] < 25 * 60
    assert (turn["open"], turn["reply"], turn["verdict"], turn["known_now"]) == (True, None, None, None)
    assert turn["target"]["due"] == story.at(15)


def test_whoever_has_the_answer_is_told_so_until_it_changes(server: Server) -> None:
    story = Story(server)
    story.says(0)
    story.says(5, "agent", name="Ines Costa")
    path = "/v1/customers/user_id:42/requests"
    tag = server.get(path).headers["etag"]
    assert server.get(path, headers={"If-None-Match": tag}).status_code == 304
    story.says(6)
    assert server.get(path, headers={"If-None-Match": tag}).status_code == 200


def test_pages_of_one_are_all_requests_newest_first(server: Server) -> None:
    story = Story(server)
    for minute in (0, 20, 40):
        story.says(minute)
        story.says(minute + 5, "agent", name="Ines Costa")
    whole = requests_of(server)
    assert [turn["opened"] for turn in whole] == [story.at(minute) for minute in (40, 20, 0)]
    pages, cursor = [], ""
    while cursor is not None:
        page = server.get(f"/v1/customers/user_id:42/requests?limit=1{cursor}").json()
        pages += page["items"]
        cursor = None if page["next"] is None else f"&cursor={page['next']}"
    assert pages == whole


VERDICT = {
    "waited": 259_200, "target": 900, "thread": "t-1", "policy": "standard-1", "target_time": "calendar"
}  # fmt: skip


def test_a_verdict_stands_and_what_is_known_now_is_told_beside_it(server: Server) -> None:
    story = Story(server, ago=100 * HOUR)
    opening = story.says(0)
    data = VERDICT | {"identifiers": {"user_id": "42"}, "turn": opening}
    server.event(chat(type="request_ignored", time=story.at(72 * 60), data=data))
    (turn,) = requests_of(server)
    ignored = {"type": "request_ignored", "waited": 259_200, "policy": "standard-1"}
    assert (turn["verdict"], turn["known_now"], turn["open"]) == (ignored, None, True)
    story.says(30, "agent", name="Ines Costa")  # it was sent long ago, and arrives now
    (turn,) = requests_of(server)
    assert turn["verdict"] == ignored
    assert turn["known_now"] == {"type": "request_late", "waited": 1_800, "policy": "standard-1"}
    story.says(10, "agent", name="Ines Costa")
    (turn,) = requests_of(server)
    assert turn["known_now"] == {"type": "request_answered", "waited": 600, "policy": "standard-1"}


# Of everybody


def ranked(times: list[int], percent: int) -> int | None:
    """By nearest rank."""
    return sorted(times)[math.ceil(percent / 100 * len(times)) - 1] if times else None


def times(server: Server, query: str = "", role: str = "agent") -> dict[str, Any]:
    answer = server.get(f"/v1/metrics/response?{query}", role=role)
    assert answer.status_code == 200, answer.text
    models.ResponseTimes.model_validate(answer.json(), strict=True)
    return dict(answer.json())


def behind(server: Server, url: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = server.get(f"{url}&limit=3{cursor}")
        assert answer.status_code == 200, answer.text
        models.ResponseTurns.model_validate(answer.json(), strict=True)
        items += answer.json()["items"]
        if answer.json()["next"] is None:
            return items
        cursor = f"&cursor={answer.json()['next']}"


def told(server: Server, seed: int) -> list[dict[str, Any]]:
    """Random turns of several customers, as whoever made them up knows them."""
    random_ = random.Random(seed)
    made = []
    for n in range(24):
        story = Story(server, who=f"u-{n % 7}")
        channel = random_.choice(["web_chat", "email", "messenger"])
        thread = f"thread-{n}"
        minute = 0.0
        for turn in range(random_.choice([1, 1, 2])):
            minute += random_.randrange(1, 100)
            story.says(minute, thread=thread, channel=channel)
            opened = minute
            who, team = random_.choice([("Ines Costa", "support"), ("Bob", None), (None, "sales")])
            bot, human = None, None
            if random_.random() < 0.4:
                minute += random_.randrange(1, 30)
                bot = minute - opened
                story.says(minute, "bot", thread=thread, channel=channel)
            if random_.random() < 0.6:
                minute += random_.randrange(1, 120)
                human = minute - opened
                named = {name: value for name, value in (("name", who), ("team", team)) if value}
                story.says(minute, "agent", thread=thread, channel=channel, **named)
            by_human = bot is None and human is not None
            made.append(
                {
                    "channel": channel,
                    "agent": who if by_human else None,
                    "team": team if by_human else None,
                    "first": turn == 0,
                    "bot": None if bot is None else int(bot * 60),
                    "human": None if human is None else int(human * 60),
                }
            )
            if bot is None and human is None:
                break  # what he writes next belongs to the same turn
    return made


@pytest.mark.parametrize("seed", [1, 2])
def test_response_times_are_exact_and_every_number_opens_into_its_turns(server: Server, seed: int) -> None:
    made = told(server, seed)
    seen(server)
    for by in ("channel", "team", "agent"):
        answer = times(server, f"by={by}")
        for kind, counted in (("all", made), ("first", [one for one in made if one["first"]])):
            rows = {row["of"]: row for row in answer[kind]}
            assert rows.keys() == {one[by] for one in counted}
            for of, row in rows.items():
                agrees(row, [one for one in counted if one[by] == of])
                opens(server, row, None if kind == "all" else True)


def agrees(row: dict[str, Any], turns: list[dict[str, Any]]) -> None:
    waits = [one["human"] if one["bot"] is None else one["bot"] for one in turns]
    answered = [wait for wait in waits if wait is not None]
    assert (row["n"], row["answered"], row["ignored"]) == (len(turns), len(answered), 0)
    assert row["open"] == len(turns) - len(answered)
    assert row["median_seconds"] == row["median_working_seconds"] == ranked(answered, 50)
    assert row["p90_seconds"] == row["p90_working_seconds"] == ranked(answered, 90)


def opens(server: Server, row: dict[str, Any], first: bool | None) -> None:
    turns = behind(server, row["turns"])
    assert len(turns) == len({(turn["customer"], turn["key"]) for turn in turns}) == row["n"]
    assert all(turn["first"] for turn in turns) or first is None
    for state in ("answered", "ignored", "open"):
        assert len(behind(server, f"{row['turns']}&verdict={state}")) == row[state]
    in_target = behind(server, f"{row['turns']}&verdict=in_target")
    assert len(in_target) == row["in_target"]["n"]
    for by in ("by_bot", "by_human"):
        those = behind(server, f"{row['turns']}&verdict={by}")
        assert len(those) == row[by]["n"]
    answered = [turn["seconds"] for turn in turns if turn["replied"] is not None]
    assert (row["median_seconds"], row["p90_seconds"]) == (ranked(answered, 50), ranked(answered, 90))


def test_the_span_is_from_its_beginning_to_before_its_end(server: Server) -> None:
    story = Story(server)
    for n, minute in enumerate((0, 10, 20)):
        story.says(minute, thread=f"t-{n}")
    seen(server)
    asked = f"from={story.at(10)}&to={story.at(20)}"
    answer = times(server, asked)
    assert (answer["from"], answer["to"]) == (story.at(10), story.at(20))
    assert [row["n"] for row in answer["all"]] == [1]
    (turn,) = behind(server, answer["all"][0]["turns"])
    assert turn["opened"] == story.at(10)


def test_numbers_and_their_turns_hold_no_texts(server: Server) -> None:
    story = Story(server)
    story.says(0, thread="a-secret-thread")
    seen(server)
    answer = server.get("/v1/metrics/response", role="admin")
    listed = server.get("/v1/metrics/response/turns", role="admin")
    assert answer.json()["all"][0]["n"] == len(listed.json()["items"]) == 1
    assert "secret" not in answer.text + listed.text


@pytest.mark.parametrize(
    ("query", "start", "end"),
    [
        ("to=0001-01-01", "0001-01-01T00:00:00.000Z", "0001-01-02T00:00:00.000Z"),
        ("from=9999-12-31&to=9999-12-31", "9999-12-31T00:00:00.000Z", "9999-12-31T23:59:59.999Z"),
    ],
)
def test_who_asks_about_the_ends_of_the_calendar_is_answered(
    server: Server, query: str, start: str, end: str
) -> None:
    seen(server)
    answer = times(server, query)
    assert (answer["from"], answer["to"]) == (start, end)
    assert behind(server, f"/v1/metrics/response/turns?{query}") == []


@pytest.mark.parametrize(
    "other",
    [
        "from=2020-01-01&to=2099-01-01&by=channel&of=email",
        "from=2020-01-01&to=2099-01-01&by=agent&of=web_chat",
        "from=2020-01-01&to=2099-01-01&by=channel&of=web_chat&first=true",
        "from=2020-01-01&to=2099-01-01&by=channel&of=web_chat&verdict=open",
        "from=2020-01-02&to=2099-01-01&by=channel&of=web_chat",
        "from=2020-01-01&by=channel&of=web_chat",
    ],
)
def test_a_cursor_of_other_turns_is_refused(server: Server, other: str) -> None:
    for n in range(3):
        Story(server, who=f"u-{n}").says(n, thread=f"thread-{n}")
    seen(server)
    asked = "/v1/metrics/response/turns?from=2020-01-01&to=2099-01-01&by=channel&of=web_chat"
    given = server.get(f"{asked}&limit=1").json()["next"]
    answer = server.get(f"/v1/metrics/response/turns?{other}&cursor={given}")
    assert answer.status_code == 400, answer.text
    problem = problem_of(answer)
    assert problem["code"] == "cursor_invalid"
    assert "the same from, to, by, of, first and verdict" in problem["message"]
    on = server.get(f"{asked}&limit=2&cursor={given}")
    assert on.status_code == 200  # how many one takes at once is no part of the question


def test_turns_until_now_go_on_while_time_goes_on(server: Server) -> None:
    for n in range(3):
        Story(server, who=f"u-{n}").says(n, thread=f"thread-{n}")
    seen(server)
    assert len(behind(server, "/v1/metrics/response/turns?from=2020-01-01&limit=1")) == 3


@pytest.mark.parametrize(
    ("query", "status", "named"),
    [
        ("from=yesterday", 422, "query from"),
        ("to=2026-13-01", 422, "query to"),
        ("to=9999-12-31T23:59:59.999-12:00", 422, "query to"),
        ("from=0001-01-01T00:00:00%2B12:00", 422, "query from"),
        ("from=2026-03-02&to=2026-03-01", 422, "query from"),
        ("by=customer", 422, "query by"),
        ("verdict=lost", 422, "query verdict"),
        ("first=perhaps", 422, "query first"),
        ("limit=0", 422, "query limit"),
        ("cursor=mine", 400, "cursor"),
    ],
)
def test_what_is_wrong_is_named(server: Server, query: str, status: int, named: str) -> None:
    seen(server)
    answer = server.get(f"/v1/metrics/response/turns?{query}")
    assert answer.status_code == status, answer.text
    assert problem_of(answer)["message"].startswith(f"{named}: ")
