"""`touchbook timeline` and `touchbook score`."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.commands import answer, event, json_file, key_for, lines, problem, run, scripted
from tests.cli.conftest import Shop
from tests.servers.certificates import Certificates
from touchbook.cli import remote

HER = {"user_id": "ann"}
ANN = {"user_id": "ann", "email": "ann@example.test", "phone": "+493012345678"}


def at(day: str, hour: int = 9) -> str:
    return f"2026-03-{day}T{hour:02d}:00:00Z"


def happened(id: str, type: str, time: str, who: dict[str, str], **data: object) -> dict[str, Any]:
    return {**event(id), "type": type, "time": time, "data": {"identifiers": who, **data}}


STORY = [
    happened("visit", "page_viewed", at("01"), ANN, name="Lamps"),
    happened("order", "order_placed", at("02"), HER, order_id="A-1", amount=1250, currency="EUR")
    | {"channel": "store"},
    happened("walk", "walk_taken", at("03"), HER, path="Round the pond"),
]


@pytest.fixture(scope="module")
def told(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop in which all of it has happened and can be read."""
    file = json_file(tmp_path_factory.mktemp("story") / "story.jsonl", STORY)
    answer("publish", file, *shop.asked_with("publish"))
    answer("digest", "--data", shop.data)
    return shop


@pytest.fixture(params=["data", "to"])
def where(request: pytest.FixtureRequest, told: Shop) -> tuple[str, ...]:
    """Both places to read from: the directory, beside the running server, and the server."""
    return ("--data", str(told.data)) if request.param == "data" else told.asked_with("agent")


def ids(told: dict[str, Any]) -> list[str]:
    return [item["id"] for item in told["items"]]


@pytest.mark.parametrize("ref", ["user_id:ann", "email:Ann@Example.test", "phone:+49 30 12345678"])
def test_a_customer_is_found_under_any_identifier(where: tuple[str, ...], ref: str) -> None:
    assert ids(answer("timeline", ref, *where)) == ["walk", "order", "visit"]


def test_a_customer_is_found_under_his_permanent_id(where: tuple[str, ...]) -> None:
    customer = answer("score", "user_id:ann", *where)["customer"]
    assert len(answer("timeline", customer, *where)["items"]) == 3


def test_a_directory_and_a_server_answer_alike(told: Shop) -> None:
    commands = (
        ("timeline", "user_id:ann"),
        ("timeline", "email:ann@example.test", "--language", "ru", "--limit", 2),
        ("score", "user_id:ann", "--at", "2026-03-05"),
        (
            "score",
            "user_id:ann",
            "--at",
            "2026-03-05",
            "--explain",
            "--name",
            "loyalty",
            "--with",
            "complaint_raised",
        ),
    )
    for command in commands:
        assert answer(*command, "--data", told.data) == answer(*command, *told.asked_with("agent"))


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (("--channel", "store"), ["order"]),
        (("--family", "commerce"), ["order"]),
        (("--type", "walk_taken"), ["walk"]),
        (("--from", "2026-03-02"), ["walk", "order"]),
        (("--until", "2026-03-02"), ["order", "visit"]),
        (("--from", at("02", 10), "--until", at("03", 10)), ["walk"]),
        (("--direction", "in"), ["walk", "order", "visit"]),
        (("--direction", "out"), []),
        (("--text", "POND"), ["walk"]),
        (("--thread", "none"), []),
        (("--audience", "customer"), ["walk", "order", "visit"]),
        (("--limit", "1"), ["walk"]),
    ],
)
def test_filters_leave_out_the_rest(
    where: tuple[str, ...], options: tuple[str, ...], shown: list[str]
) -> None:
    assert ids(answer("timeline", "user_id:ann", *where, *options)) == shown


def test_a_page_goes_on_where_the_last_one_ended(where: tuple[str, ...]) -> None:
    first = answer("timeline", "user_id:ann", *where, "--limit", 2)
    rest = answer("timeline", "user_id:ann", *where, "--cursor", first["next"])
    assert (ids(first), ids(rest), rest["next"]) == (["walk", "order"], ["visit"], None)


def test_a_limit_beyond_one_page_takes_several(tmp_path: Path) -> None:
    events = [event(f"e-{number}", "many") for number in range(1203)]
    answer(
        "publish", json_file(tmp_path / "many.jsonl", events), "--data", tmp_path / "book", "--source", "shop"
    )
    assert (
        len(set(ids(answer("timeline", "user_id:many", "--data", tmp_path / "book", "--limit", 1201))))
        == 1201
    )
    everything = answer("timeline", "user_id:many", "--data", tmp_path / "book", "--limit", 5000)
    assert (len(set(ids(everything))), everything["next"]) == (1203, None)


def test_plain_lines_say_when_where_and_what(where: tuple[str, ...]) -> None:
    order = lines("timeline", "user_id:ann", *where, "--type", "order_placed")[0]
    assert order[:3] == ["2026-03-02T09:00:00.000Z", "store", "order_placed"]
    assert "A-1" in order[3] + order[4]


def test_what_a_customer_wrote_cannot_steer_a_terminal(tmp_path: Path) -> None:
    nasty = {
        **event("nasty"),
        "type": "note_added",
        "data": {"identifiers": {"user_id": "42"}, "text": "\x1b[2J\ta\nb"},
    }
    answer(
        "publish", json_file(tmp_path / "n.jsonl", [nasty]), "--data", tmp_path / "book", "--source", "shop"
    )
    result = run("timeline", "user_id:42", "--data", tmp_path / "book")
    assert result.stdout.count("\n") == 1
    assert "\x1b" not in result.stdout


def test_scores_can_be_asked_for_one_day_and_some_names(where: tuple[str, ...]) -> None:
    found = answer(
        "score", "user_id:ann", *where, "--at", "2026-03-01", "--name", "trust", "--name", "loyalty"
    )
    assert (list(found["scores"]), found["at"]) == (["trust", "loyalty"], "2026-03-01")
    rows = lines("score", "user_id:ann", *where, "--name", "trust")
    assert [row[0] for row in rows] == ["trust"]


def test_an_explanation_adds_up_and_is_one_object_per_score(where: tuple[str, ...]) -> None:
    result = run("score", "user_id:ann", *where, "--explain", "--json", "--at", "2026-03-05")
    explained = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["score"]["name"] for one in explained] == list(
        answer("score", "user_id:ann", *where)["scores"]
    )
    assert any(one["contributions"] for one in explained)
    for one in explained:
        assert sum(line["milli_points"] for line in one["contributions"]) == one["score"]["milli_points"]


def test_an_explanation_in_plain_lines_ends_with_its_sum(where: tuple[str, ...]) -> None:
    rows = lines("score", "user_id:ann", *where, "--explain", "--name", "loyalty", "--at", "2026-03-05")
    assert int(rows[-1][-1]) == sum(int(row[-1]) for row in rows[:-1])


def test_an_explanation_tells_what_one_touchpoint_and_one_signal_would_change(where: tuple[str, ...]) -> None:
    day = ("--at", "2026-03-05")
    key = answer("timeline", "user_id:ann", *where, "--type", "order_placed")["items"][0]["key"]
    told = answer(
        "score",
        "user_id:ann",
        *where,
        *day,
        "--explain",
        "--name",
        "loyalty",
        "--without",
        key,
        "--with",
        "purchase",
    )
    without, score, more = (
        one["milli_points"] for one in (told["without"]["score"], told["score"], told["with"]["score"])
    )
    assert without < score < more


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (("score", "user_id:ann", "--name", "charm"), "charm"),
        (("score", "user_id:ann", "--without", "0" * 32), "--explain"),
        (("timeline", "user_id:ann", "--direction", "up"), "direction"),
        (("timeline", "user_id:ann", "--language", "tlh"), "language"),
        (("timeline", "user_id:ann", "--limit", "0"), "limit"),
        (("timeline", "user_id:ann", "--family", "comerce"), "account, commerce, conversation"),
        (("timeline",), "Missing argument"),
    ],
)
def test_wrong_use_is_told_before_anything_is_shown(
    where: tuple[str, ...], command: tuple[str, ...], named: str
) -> None:
    result = run(*command, *where, "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert named in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("score", "user_id:ann", "--at", "yesterday"),
        ("timeline", "user_id:ann", "--from", "yesterday"),
        ("timeline", "user_id:ann", "--until", "yesterday"),
        ("timeline", "user_id:ann", "--cursor", "yesterday"),
        ("timeline", "shoe_size:43"),
        ("timeline", "ann"),
    ],
)
def test_what_cannot_be_read_is_wrong_use_here_and_refused_there(
    told: Shop, command: tuple[str, ...]
) -> None:
    here, there = run(*command, "--data", told.data), run(*command, *told.asked_with("agent"))
    assert (here.exit_code, here.stdout) == (2, "")
    assert (there.exit_code, there.stdout) == (3, "")
    assert "Traceback" not in here.stderr + there.stderr


@pytest.mark.parametrize("ref", ["user_id:nobody", "email:nobody@example.test", "0" * 32])
def test_a_customer_nobody_knows_is_not_quoted(told: Shop, ref: str) -> None:
    here, there = run("timeline", ref, "--data", told.data), run("timeline", ref, *told.asked_with("agent"))
    assert (here.exit_code, there.exit_code) == (1, 3)
    assert "nobody" not in here.stderr + there.stderr


def test_a_key_of_another_role_is_refused(told: Shop) -> None:
    result = run("timeline", "user_id:ann", *told.asked_with("publish"))
    assert result.exit_code == 3
    assert "403" in result.stderr


def test_nobody_there_is_unreachable() -> None:
    result = run("score", "user_id:ann", "--to", "http://127.0.0.1:1", "--key", "k")
    assert result.exit_code == 4
    assert "(Connection refused)" in result.stderr


def test_who_takes_connections_and_says_nothing_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "TIMEOUT", httpx.Timeout(0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        result = run(
            "score", "user_id:ann", "--to", f"http://127.0.0.1:{silent.getsockname()[1]}", "--key", "k"
        )
    assert result.exit_code == 4
    assert "(no answer within 0.2 seconds)" in result.stderr


def test_over_tls_a_server_has_to_prove_who_it_is_also_on_this_machine(tmp_path: Path) -> None:
    with scripted((200, {}, {}), certificate=Certificates(tmp_path).server) as server:
        assert run("score", "user_id:ann", "--to", server.url, "--key", "k").exit_code == 4
    assert server.paths == []


def test_a_reference_is_one_segment_of_the_path_whatever_it_holds() -> None:
    with scripted(problem(404, "customer_unknown")) as server:
        run("score", "user_id:a/timeline?x=ö%2F#1", "--to", server.url, "--key", "k")
    assert server.paths == ["/v1/customers/user_id%3Aa%2Ftimeline%3Fx%3D%C3%B6%252F%231/scores"]


def test_an_email_never_stands_in_an_address() -> None:
    with scripted((200, {}, {"customer": "0" * 32}), problem(404, "customer_unknown")) as server:
        run("score", "email:ann@example.test", "--to", server.url, "--key", "k")
    assert server.paths == ["/v1/customers:lookup", f"/v1/customers/{'0' * 32}/scores"]


@pytest.mark.parametrize(
    "command", [("timeline", "user_id:ann"), ("score", "user_id:ann"), ("digest",), ("rebuild",)]
)
def test_reading_where_nothing_is_makes_nothing(tmp_path: Path, command: tuple[str, ...]) -> None:
    result = run(*command, "--data", tmp_path / "nowhere", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "touchbook serve" in result.stderr
    assert not (tmp_path / "nowhere").exists()


def test_reading_where_only_keys_were_made_says_that_nothing_is_there_yet(tmp_path: Path) -> None:
    key_for(tmp_path, "agent")
    assert run("timeline", "user_id:ann", "--data", tmp_path).exit_code == 1
