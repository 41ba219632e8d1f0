"""`touchbook tail`: touchpoints as they come."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import answer, call, json_file, key_for, lines, listening, run, started
from tests.cli.conftest import Shop
from touchbook.cli.tail import _kind
from touchbook.schemas.catalogue import CATALOGUE

PATIENCE = 60
SECRET = "my blue door in Lisbon"
CANARY = "Ann Example"


def sent(shop: Shop, folder: Path, calls: Sequence[dict[str, Any]]) -> None:
    file = json_file(folder / f"calls-{calls[0]['messageId']}.jsonl", calls)
    assert answer("publish", file, *shop.asked_with("publish"))["rejected"] == 0


def deed(id: str, user: str = "42", event: str = "Order Completed", **properties: Any) -> dict[str, Any]:
    return call(id, user, event, properties={"order_id": f"o-{id}", **properties})


def told(result: Any) -> list[dict[str, Any]]:
    """The JSON lines of a command that ended well."""
    assert result.exit_code == 0, (result.stderr, result.exception)
    return [json.loads(line) for line in result.stdout.splitlines()]


def last(*arguments: object) -> list[dict[str, Any]]:
    return told(run("tail", *arguments, "--no-follow", "--json"))


def ids(*arguments: object) -> list[str]:
    return [item["id"] for item in last(*arguments, "--show-data")]


@contextmanager
def following(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    process = started("tail", *arguments, "--json", "--show-data")
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def heard(process: subprocess.Popen[str]) -> str:
    """The id of the next touchpoint it shows."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.stderr and process.stderr.read()
    return str(json.loads(line)["id"])


@pytest.fixture(scope="module")
def told_shop(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("calls")
    asked = {"thread": "t-1", "text": f"It is for {CANARY}, {SECRET}"}
    sent(
        shop,
        folder,
        [
            deed("one"),
            deed("two", "43"),
            call("three", "42", "chat_message_sent", properties=asked, context={"channel": "messenger"}),
            deed("four", "43", "Product Viewed", product_id="p-1"),
            deed("five", "42"),
        ],
    )
    return shop


# The last ones


def test_the_last_touchpoints_of_everybody_are_shown_the_oldest_first(told_shop: Shop) -> None:
    assert ids("--data", told_shop.data) == ["one", "two", "three", "four", "five"]
    assert ids("--data", told_shop.data, "-n", 2) == ["four", "five"]
    assert ids("--data", told_shop.data, "-n", 0) == []


@pytest.mark.parametrize("where", ["directory", "server"])
def test_the_last_touchpoints_of_one_customer_are_the_same_from_a_directory_and_a_server(
    told_shop: Shop, where: str
) -> None:
    place = ("--data", told_shop.data) if where == "directory" else told_shop.asked_with("agent")
    by_time = ["one", "three", "five"]  # of one moment: then the key decides
    assert sorted(ids("user_id:42", *place)) == sorted(by_time)
    assert sorted(ids("user_id:42", *place, "--type", "order_placed")) == ["five", "one"]
    assert ids("user_id:42", *place, "--source", "another") == []
    assert len(ids("user_id:42", *place, "--source", "shop", "-n", 2)) == 2


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--type", "order_placed", ["one", "two", "five"]),
        ("--channel", "messenger", ["three"]),
        ("--family", "conversation", ["three"]),
        ("--source", "shop", ["one", "two", "three", "four", "five"]),
        ("--source", "another", []),
    ],
)
def test_filters_let_only_theirs_pass(told_shop: Shop, option: str, value: str, expected: list[str]) -> None:
    assert ids("--data", told_shop.data, option, value) == expected


def test_filters_look_as_far_back_as_it_takes_for_the_last_ones(told_shop: Shop) -> None:
    assert ids("--data", told_shop.data, "--type", "order_placed", "-n", 2) == ["two", "five"]


def test_since_a_position_begins_right_behind_it(told_shop: Shop) -> None:
    items = last("--data", told_shop.data)
    assert ids("--data", told_shop.data, "--since-position", items[2]["position"]) == ["four", "five"]
    place = ("user_id:42", "--data", told_shop.data)
    assert ids(*place, "--since-position", items[0]["position"], "-n", 0) == ["three", "five"]
    assert ids("--data", told_shop.data, "--since-position", items[4]["position"]) == []


def test_nothing_personal_is_shown_unless_it_is_asked_for(told_shop: Shop) -> None:
    for place in (("--data", told_shop.data), ("user_id:42", *told_shop.asked_with("agent"))):
        shown = run("tail", *place, "--no-follow")
        as_json = run("tail", *place, "--no-follow", "--json")
        for text in (shown.stdout, as_json.stdout):
            assert "chat_message_sent" in text
            assert not any(word in text for word in (CANARY, SECRET, "o-one", "three"))
        everything = run("tail", *place, "--no-follow", "--show-data").stdout
        assert SECRET in everything


def test_lines_say_when_where_what_kind_and_in_what_words(told_shop: Shop) -> None:
    cells = lines("tail", "--data", told_shop.data, "--no-follow", "-n", 1)[0]
    assert cells == ["2026-05-01T10:00:00.000Z", "web_chat", "order_placed", "Order placed"]
    assert lines("tail", "--data", told_shop.data, "--no-follow", "-n", 1, "--language", "ru")[0][
        3
    ].startswith("Заказ")


def test_words_of_a_kind_are_whole_without_what_was_said() -> None:
    for language in ("en", "ru"):
        for type_ in CATALOGUE:
            words = _kind({"type": type_}, language)
            assert words, type_
            assert words == words.strip(" :,·"), type_
            assert not re.search("“ ?”|« ?»", words), type_


# As they come


@pytest.mark.parametrize("where", ["everybody", "directory", "server"])
def test_what_comes_is_shown_once_behind_the_last_ones(told_shop: Shop, where: str, tmp_path: Path) -> None:
    user = f"new-{where}"
    sent(told_shop, tmp_path, [deed(f"{where}-0", user)])
    place: tuple[object, ...] = {
        "everybody": ("--data", told_shop.data),
        "directory": (f"user_id:{user}", "--data", told_shop.data),
        "server": (f"user_id:{user}", *told_shop.asked_with("agent")),
    }[where]
    with following(*place, "-n", 1) as tail:
        assert heard(tail) == f"{where}-0"
        for number in (1, 2, 3):
            sent(told_shop, tmp_path, [deed(f"{where}-{number}", user)])
            assert heard(tail) == f"{where}-{number}"


def test_ctrl_c_is_how_it_ends(told_shop: Shop) -> None:
    with following("--data", told_shop.data, "-n", 1) as tail:
        heard(tail)
        tail.send_signal(signal.SIGINT)
        assert tail.wait(PATIENCE) == 0
        assert tail.stderr is not None
        assert tail.stderr.read() == ""


def test_it_ends_by_itself_once_nobody_reads_what_it_writes(told_shop: Shop) -> None:
    with following("--data", told_shop.data, "-n", 1) as tail:
        heard(tail)
        assert tail.stdout is not None
        tail.stdout.close()
        assert tail.wait(PATIENCE) == 0
        assert tail.stderr is not None
        assert tail.stderr.read() == ""
        tail.stdout = None


def test_it_goes_on_without_gap_or_double_when_the_server_starts_again(tmp_path: Path) -> None:
    data = tmp_path / "book"
    publish, agent = key_for(data, "publish"), key_for(data, "agent", "desk")
    server = started("serve", "--data", data, "--port", 0, "--json", "--log-level", "error")
    url = listening(server)
    port = url.rpartition(":")[2]

    def say(id: str) -> None:
        file = json_file(tmp_path / id, [deed(id)])
        assert answer("publish", file, "--to", url, "--key", publish)["accepted"] == 1

    say("before")
    with following("user_id:42", "--to", url, "--key", agent) as tail:
        assert heard(tail) == "before"
        say("first")
        assert heard(tail) == "first"
        server.terminate()
        server.communicate(timeout=PATIENCE)
        answer("publish", json_file(tmp_path / "x", [deed("while-away")]), "--data", data, "--source", "shop")
        server = started("serve", "--data", data, "--port", port, "--json", "--log-level", "error")
        assert listening(server) == url
        assert heard(tail) == "while-away"
        say("after")
        assert heard(tail) == "after"
        tail.send_signal(signal.SIGINT)
        assert tail.wait(PATIENCE) == 0
        assert tail.stderr is not None
        assert "trying again" in tail.stderr.read()
    server.terminate()
    server.communicate(timeout=PATIENCE)


# Wrong use, refusals


@pytest.mark.parametrize(
    ("arguments", "exit", "named"),
    [
        (("--to", "http://127.0.0.1:1", "--key", "k"), 2, "REF"),
        (("user_id:42", "--to", "http://127.0.0.1:1", "--key", "k", "--since-position", "j1.1"), 2, "since"),
        (("user_id:42", "--to", "http://127.0.0.1:1", "--key", "k"), 4, "127.0.0.1:1"),
        (("--data", "none"), 1, "none"),
        (("--data", "none", "--since-position", "12"), 2, "--since-position"),
        (("--data", "none", "--to", "http://127.0.0.1:1"), 2, "--to"),
        (("--data", "none", "--family", "comerce"), 2, "account, commerce, conversation"),
        (("user_id:42", "--to", "http://127.0.0.1:1", "--key", "k", "--family", "comerce"), 2, "commerce"),
    ],
)
def test_what_cannot_be_followed_says_so(arguments: tuple[str, ...], exit: int, named: str) -> None:
    result = run("tail", *arguments, "--no-follow")
    assert result.exit_code == exit, result.stderr
    assert named in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("ref", [(), ("user_id:42",)])
def test_a_position_beyond_the_journals_end_is_told_instead_of_waited_for(
    told_shop: Shop, ref: tuple[str, ...]
) -> None:
    last_one = last("--data", told_shop.data, "-n", 1)[0]["position"]
    result = run("tail", *ref, "--data", told_shop.data, "--since-position", f"{last_one}000", "--no-follow")
    assert (result.exit_code, result.stdout) == (2, "")
    assert last_one in result.stderr


def test_a_key_that_may_not_read_is_refused(told_shop: Shop) -> None:
    result = run("tail", "user_id:42", *told_shop.asked_with("publish"))
    assert (result.exit_code, result.stdout) == (3, "")
    assert run("tail", "user_id:nobody", *told_shop.asked_with("agent")).exit_code == 3
