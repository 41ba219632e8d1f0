"""`touchbook set-aside`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import BROKEN, answer, call, event, json_file, lines, run
from tests.cli.conftest import Shop


def broken(number: int = 2) -> list[dict[str, Any]]:
    return [{**BROKEN, "messageId": f"{one}"} for one in range(number)]


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A directory in which three items of one source and one of another are set aside."""
    for source, number in (("shop", 3), ("kiosk", 1)):
        items = json_file(tmp_path / f"{source}.jsonl", broken(number))
        answer("publish", items, "--data", tmp_path / "book", "--source", source, exit=1)
    return tmp_path / "book"


def test_a_list_shows_reason_source_and_what_was_sent(book: Path) -> None:
    items = answer("set-aside", "list", "--data", book)["items"]
    assert [(item["source"], item["code"]) for item in items] == [
        ("kiosk", "type_unknown"), ("shop", "type_unknown"), ("shop", "type_unknown"), ("shop", "type_unknown"),
    ]  # fmt: skip
    assert items[0]["raw"] == broken(1)[0]


def test_plain_lines_keep_what_was_sent_to_themselves(book: Path) -> None:
    listed = lines("set-aside", "list", "--data", book, "--source", "kiosk")
    assert len(listed) == 1
    assert listed[0][2:4] == ["kiosk", "type_unknown"]
    assert "messageId" not in "".join(listed[0])


def test_pages_go_on_where_the_last_one_ended(book: Path) -> None:
    first = answer("set-aside", "list", "--data", book, "--limit", 3)
    rest = answer("set-aside", "list", "--data", book, "--cursor", first["next"])
    assert (len(first["items"]), len(rest["items"]), rest["next"]) == (3, 1, None)


def test_a_server_shows_an_admin_all_and_a_publisher_his_own(shop: Shop, tmp_path: Path) -> None:
    answer("publish", json_file(tmp_path / "b.jsonl", broken()), *shop.asked_with("publish"), exit=1)
    of_all = answer("set-aside", "list", *shop.asked_with("admin"))["items"]
    of_his = answer("set-aside", "list", *shop.asked_with("publish"))["items"]
    assert of_his
    assert of_his == [item for item in of_all if item["source"] == "shop"]
    assert of_all == answer("set-aside", "list", "--data", shop.data)["items"]


@pytest.mark.parametrize("which", ["all", "one"])
def test_what_is_still_not_in_order_stays_set_aside(tmp_path: Path, which: str) -> None:
    data = tmp_path / "book"
    walk = json_file(tmp_path / "walk.jsonl", [event("walk", source="another")])
    answer("publish", walk, "--data", data, "--source", "shop", exit=1)
    (item,) = answer("set-aside", "list", "--data", data)["items"]
    named = ("--all",) if which == "all" else (item["key"],)
    (outcome,) = answer("set-aside", "redrive", *named, "--data", data, exit=1)["items"]
    assert (outcome["key"], outcome["outcome"], outcome["code"]) == (
        item["key"],
        "rejected",
        "source_mismatch",
    )
    assert answer("set-aside", "list", "--data", data)["items"] == [item]


def test_what_is_too_large_for_one_setting_is_taken_under_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "book"
    monkeypatch.setenv("TOUCHBOOK_MAX_ITEM", "300")
    long = call("long", properties={"words": "far " * 100})
    answer("publish", json_file(tmp_path / "l.jsonl", [long]), "--data", data, "--source", "shop", exit=1)
    monkeypatch.delenv("TOUCHBOOK_MAX_ITEM")
    (outcome,) = answer("set-aside", "redrive", "--all", "--data", data)["items"]
    assert (outcome["outcome"], outcome["position"], outcome["code"]) == ("accepted", "j1.1", None)
    assert answer("set-aside", "list", "--data", data) == {"items": [], "next": None}
    assert [item["id"] for item in answer("timeline", "user_id:42", "--data", data)["items"]] == ["long"]


def test_a_server_redrives_for_an_admin_alone(shop: Shop, tmp_path: Path) -> None:
    answer("publish", json_file(tmp_path / "b.jsonl", broken(1)), *shop.asked_with("publish"), exit=1)
    key = answer("set-aside", "list", *shop.asked_with("admin"))["items"][0]["key"]
    refused = run("set-aside", "redrive", key, *shop.asked_with("publish"))
    assert refused.exit_code == 3
    (outcome,) = answer("set-aside", "redrive", key, *shop.asked_with("admin"), exit=1)["items"]
    assert (outcome["key"], outcome["outcome"], outcome["code"]) == (key, "rejected", "type_unknown")


def test_a_directory_that_a_server_writes_is_redriven_through_it(shop: Shop) -> None:
    result = run("set-aside", "redrive", "--all", "--data", shop.data)
    assert result.exit_code == 1
    assert "--to" in result.stderr


def test_an_item_that_is_not_there_fails(book: Path, shop: Shop) -> None:
    assert run("set-aside", "redrive", "0" * 32, "--data", book).exit_code == 1
    assert run("set-aside", "redrive", "0" * 32, *shop.asked_with("admin")).exit_code == 3


@pytest.mark.parametrize(
    "command",
    [
        ("redrive",),
        ("redrive", "--all", "0" * 32),
        ("list", "--source", "shop", "--to", "http://127.0.0.1:1", "--key", "k"),
        ("list", "--cursor", "yesterday"),
    ],
)
def test_options_that_do_not_fit_together_are_wrong_use(book: Path, command: tuple[str, ...]) -> None:
    where = () if "--to" in command else ("--data", str(book))
    result = run("set-aside", *command, *where, "--json")
    assert (result.exit_code, result.stdout) == (2, "")
