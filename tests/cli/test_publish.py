"""`touchbook publish`."""

from __future__ import annotations

import json
import socket
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import (
    BROKEN,
    answer,
    call,
    event,
    json_file,
    key_for,
    listening,
    problem,
    run,
    scripted,
    started,
    took,
)
from tests.cli.conftest import Shop

CSV = """customer;what;when;order_id;total;currency
77;order_placed;2026-01-02T03:04:05Z;A-1;1250;EUR
77;order_placed;2026-01-03T03:04:05Z;A-2;2500;EUR
78;order_placed;2026-01-03T03:04:05Z;A-3;2500;EUR
"""
MAPPED = (
    "--map", "customer=identifiers.user_id", "--map", "what=type", "--map", "when=time", "--map", "total=amount",
)  # fmt: skip

_numbers = count()


@pytest.fixture(params=["to", "data"])
def into(request: pytest.FixtureRequest, shop: Shop, tmp_path: Path) -> tuple[str, ...]:
    """Both ways of publishing."""
    if request.param == "to":
        return shop.asked_with("publish")
    return ("--data", str(tmp_path / "book"), "--source", "shop")


def new(number: int) -> list[str]:
    """Ids that no other test uses."""
    return [f"id-{next(_numbers)}" for _ in range(number)]


def counted(read: int = 0, **what: int) -> dict[str, int]:
    """The counts an answer must hold; those not named are 0."""
    told = {"accepted": 0, "duplicates": 0, "rejected": 0, "not_sent": 0, **what}
    return {"read": read, "sent": read - told["not_sent"], **told}


def counts_in(told: dict[str, Any]) -> dict[str, int]:
    counts = {name: value for name, value in told.items() if isinstance(value, int)}
    assert counts["read"] == counts["sent"] + counts["not_sent"]
    assert counts["sent"] == counts["accepted"] + counts["duplicates"] + counts["rejected"]
    return counts


def test_a_file_may_mix_calls_and_events(into: tuple[str, ...], tmp_path: Path) -> None:
    a, b, c = new(3)
    file = json_file(tmp_path / "mixed.jsonl", [call(a), event(b), "", call(c)])
    assert counts_in(answer("publish", file, *into)) == counted(3, accepted=3)


def test_publishing_a_file_twice_gives_duplicates_only(into: tuple[str, ...], tmp_path: Path) -> None:
    file = json_file(tmp_path / "twice.jsonl", [call(new(1)[0]), event(new(1)[0])])
    assert counts_in(answer("publish", file, *into)) == counted(2, accepted=2)
    assert counts_in(answer("publish", file, *into, "--batch", 1)) == counted(2, duplicates=2)


def test_what_has_no_id_but_a_time_is_recognised_too(into: tuple[str, ...], tmp_path: Path) -> None:
    user = new(1)[0]
    nameless = {name: value for name, value in call("", user).items() if name != "messageId"}
    file = json_file(tmp_path / "nameless.jsonl", [nameless])
    assert counts_in(answer("publish", file, *into)) == counted(1, accepted=1)
    assert counts_in(answer("publish", file, *into)) == counted(1, duplicates=1)


def test_the_other_lines_are_taken_when_some_cannot_be(into: tuple[str, ...], tmp_path: Path) -> None:
    a, b = new(2)
    file = json_file(
        tmp_path / "some.jsonl", [call(a), '{"type": "track", ', BROKEN, "17", event(b), event(b)]
    )
    told = answer("publish", file, *into, exit=1)
    assert counts_in(told) == counted(6, accepted=2, duplicates=1, rejected=1, not_sent=2)
    assert [(line["line"], line["code"]) for line in told["rejected_lines"]] == [(3, "type_unknown")]
    assert [(line["line"], line["code"]) for line in told["not_sent_lines"]] == [
        (2, "json_invalid"),
        (4, "object_expected"),
    ]


def test_an_item_as_deep_as_json_may_be_is_no_deeper_inside_a_batch(
    into: tuple[str, ...], tmp_path: Path
) -> None:
    deep: Any = "down here"
    for _ in range(30):
        deep = [deep]
    ids = new(5)
    items = [event(one, **({"hole": deep} if place == 2 else {})) for place, one in enumerate(ids)]
    told = answer("publish", json_file(tmp_path / "deep.jsonl", items), *into)
    assert counts_in(told) == counted(5, accepted=5)


def test_sent_at_is_not_the_moment_the_file_is_sent(shop: Shop, tmp_path: Path) -> None:
    user, id = new(2)
    file = json_file(tmp_path / "old.jsonl", [call(id, user, sentAt="2026-05-01T11:00:00Z")])
    answer("publish", file, *shop.asked_with("publish"))
    shown = answer("timeline", f"user_id:{user}", "--data", shop.data)
    assert [item["occurred_at"] for item in shown["items"]] == ["2026-05-01T10:00:00.000Z"]


def test_an_array_and_a_pretty_printed_one_are_read_too(into: tuple[str, ...], tmp_path: Path) -> None:
    items = [call(id) for id in new(3)]
    flat, pretty = tmp_path / "flat.json", tmp_path / "pretty.json"
    flat.write_text(json.dumps(items))
    pretty.write_text(json.dumps(items, indent=2))
    assert counts_in(answer("publish", flat, *into)) == counted(3, accepted=3)
    assert counts_in(answer("publish", pretty, *into)) == counted(3, duplicates=3)


def test_stdin_is_read_for_a_dash(into: tuple[str, ...]) -> None:
    text = "".join(json.dumps(call(id)) + "\n" for id in new(2))
    assert counts_in(answer("publish", "-", *into, input=text)) == counted(2, accepted=2)


def test_a_whole_process_reads_a_pipe_and_writes_json_alone(shop: Shop) -> None:
    process = started("publish", "-", *shop.asked_with("publish"), "--json")
    out, err = process.communicate(json.dumps(call(new(1)[0])) + "\n" + json.dumps(BROKEN) + "\n", timeout=60)
    assert counts_in(json.loads(out)) == counted(2, accepted=1, rejected=1), err
    assert process.returncode == 1


def test_csv_rows_are_touchpoints_by_a_mapping(into: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / f"{new(1)[0]}.csv"
    file.write_text(CSV.replace("A-", new(1)[0]), "utf-8")
    assert counts_in(answer("publish", file, *into, *MAPPED)) == counted(3, accepted=3)
    assert counts_in(answer("publish", file, *into, *MAPPED)) == counted(3, duplicates=3)


def test_a_mapping_may_stand_in_a_file_and_the_command_line_wins(tmp_path: Path) -> None:
    file, columns, book = tmp_path / "orders.csv", tmp_path / "columns.yaml", tmp_path / "book"
    file.write_text(CSV, "utf-8")
    columns.write_text(
        "customer: identifiers.email\nwhat:\nwhen: time\ntotal: amount\n# the rest as it is\n", "utf-8"
    )
    told = answer(
        "publish", file, "--data", book, "--source", "shop", "--columns", columns,
        "--map", "customer=user_id", "--set", "type=order_placed", "--set", "channel=store",
    )  # fmt: skip
    assert counts_in(told) == counted(3, accepted=3)
    shown = answer("timeline", "user_id:77", "--data", book)["items"]
    assert [(item["type"], item["channel"], item["data"]["order_id"]) for item in shown] == [
        ("order_placed", "store", "A-2"),
        ("order_placed", "store", "A-1"),
    ]


def test_rows_with_an_email_need_the_source_of_the_key(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(
        CSV.replace("customer", "identifiers.email").replace("77;", "dora@example.test;"), "utf-8"
    )
    mapped = MAPPED[2:]
    refused = run("publish", file, *shop.asked_with("publish"), *mapped)
    assert refused.exit_code == 2
    assert "--source" in refused.stderr
    told = answer("publish", file, *shop.asked_with("publish"), *mapped, "--source", "shop", exit=1)
    assert counts_in(told) == counted(3, accepted=2, rejected=1)
    assert "dora" not in json.dumps(told)


def test_a_row_of_another_length_is_told_by_its_line_and_not_sent(
    into: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(
        f'type,user_id,note\nwalk,{new(1)[0]},"two\nlines"\nwalk,1\nwalk,{new(1)[0]},fine\n', "utf-8"
    )
    told = answer("publish", file, *into, exit=1)
    assert counts_in(told) == counted(3, accepted=2, not_sent=1)
    assert told["not_sent_lines"] == [
        {"line": 4, "code": "row_invalid", "message": "expected 3 cells, as the header has, not 2"}
    ]


@pytest.mark.parametrize(
    ("text", "options", "named"),
    [
        ("type,who\nwalk,1\n", (), "who the customer is"),
        ("user_id,who\n1,2\n", (), "what happened"),
        ("type,user_id\nwalk,1\n", ("--map", "when=time"), "'when'"),
        ("type,user_id,a,b\nwalk,1,2,3\n", ("--map", "a=time", "--map", "b=time"), "time"),
        ("type,user_id\nwalk,1\n", ("--map", "type"), "name=value"),
        ("type,user_id\nwalk,1\n", ("--set", "=x"), "name=value"),
        ("type,user_id\nwalk,1\n", ("--map", "type=a..b"), "a..b"),
    ],
)
def test_columns_that_make_no_touchpoint_are_wrong_use(
    tmp_path: Path, text: str, options: tuple[str, ...], named: str
) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(text, "utf-8")
    result = run("publish", file, "--data", tmp_path / "book", "--source", "shop", *options, "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert named in result.stderr


@pytest.mark.parametrize("content", [b"type,user_id\nwalk,\xff\n", b'type,user_id\nwalk,"1\n', b"[1, 2\n3\n"])
def test_a_file_that_is_no_text_of_its_kind_fails_with_a_reason(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / ("rows.csv" if content.startswith(b"type") else "rows.json")
    file.write_bytes(content)
    result = run("publish", file, "--data", tmp_path / "book", "--source", "shop", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ((), "--source"),
        (("--source", "No Name"), "--source"),
        (("--source", "shop", "--channel", "No Name"), "--channel"),
        (("--source", "shop", "--format", "xml"), "--format"),
        (("--source", "shop", "--format", "json", "--set", "type=a"), "--format"),
        (("--source", "shop", "--to", "http://127.0.0.1:1"), "--to"),
    ],
)
def test_options_that_do_not_fit_together_are_wrong_use(
    tmp_path: Path, options: tuple[str, ...], named: str
) -> None:
    file = json_file(tmp_path / "one.jsonl", [call("one")])
    result = run("publish", file, "--data", tmp_path / "book", *options, "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert named in result.stderr
    assert not (tmp_path / "book").exists()


@pytest.mark.parametrize(
    "options",
    [
        ("--to", "ftp://127.0.0.1", "--key", "k"),
        ("--to", "127.0.0.1:8750", "--key", "k"),
        ("--to", "http://user:secret-word@127.0.0.1", "--key", "k"),
        ("--to", "http://127.0.0.1:1"),
        ("--to", "http://127.0.0.1:1", "--key", "ключ"),
        ("--to", "http://127.0.0.1:1", "--key", "secret-word again"),
        ("--to", "http://127.0.0.1:1", "--key", "k", "--channel", "web"),
    ],
)
def test_an_address_or_key_that_cannot_be_one_is_wrong_use(tmp_path: Path, options: tuple[str, ...]) -> None:
    file = json_file(tmp_path / "one.jsonl", [call("one")])
    result = run("publish", file, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "secret-word" not in result.stderr


def test_a_file_that_is_not_there_is_wrong_use(tmp_path: Path) -> None:
    assert run("publish", tmp_path / "none.jsonl", "--data", tmp_path, "--source", "shop").exit_code == 2


def test_a_key_of_nobody_is_refused_by_the_server_and_is_not_told(shop: Shop, tmp_path: Path) -> None:
    file = json_file(tmp_path / "one.jsonl", [call("one")])
    result = run("publish", file, "--to", shop.url, "--key", "tb_publish_of_nobody", "--json")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "401" in result.stderr
    assert "of_nobody" not in result.stderr


def test_the_key_may_come_from_the_environment(shop: Shop, tmp_path: Path) -> None:
    file = json_file(tmp_path / "one.jsonl", [call(new(1)[0])])
    told = answer("publish", file, "--to", shop.url, env={"TOUCHBOOK_KEY": shop.publish})
    assert counts_in(told) == counted(1, accepted=1)


def test_nobody_at_the_address_is_unreachable(tmp_path: Path) -> None:
    file = json_file(tmp_path / "one.jsonl", [call("one")])
    result = run(
        "publish", file, "--to", f"http://127.0.0.1:{free_port()}", "--key", "k", "--patience", 0, "--json"
    )
    assert (result.exit_code, result.stdout) == (4, "")
    assert "stopped before the end" in result.stderr


def test_something_else_at_the_address_is_refused(tmp_path: Path) -> None:
    file = json_file(tmp_path / "one.jsonl", [call("one")])
    for content in (b"<html>hello</html>", []):
        with scripted((200, {}, content)) as other:
            assert run("publish", file, "--to", other.url, "--key", "k").exit_code == 3


def test_a_server_that_is_started_later_gets_everything(tmp_path: Path) -> None:
    data, port = tmp_path / "book", free_port()
    key = key_for(data, "publish")
    file = json_file(tmp_path / "early.jsonl", [call(id) for id in new(3)])
    publisher = started(
        "publish", file, "--to", f"http://127.0.0.1:{port}", "--key", key, "--patience", 120, "--json"
    )
    assert publisher.stderr is not None
    assert "trying again" in publisher.stderr.readline()
    server = started("serve", "--data", data, "--port", port, "--json", "--log-level", "error")
    try:
        listening(server)
        out, err = publisher.communicate(timeout=120)
        assert counts_in(json.loads(out)) == counted(3, accepted=3), err
        assert publisher.returncode == 0
    finally:
        server.terminate()
        server.communicate(timeout=60)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again_with_the_same_bytes(tmp_path: Path, status: int) -> None:
    file = json_file(tmp_path / "one.jsonl", [call("one")])
    with scripted(problem(status, "busy", Retry_After="0"), problem(status, "busy"), took(1)) as busy:
        told = answer("publish", file, "--to", busy.url, "--key", "k")
        assert counts_in(told) == counted(1, accepted=1)
        assert len(busy.bodies) == 3
        assert len(set(busy.bodies)) == 1
        assert {headers["authorization"] for headers in busy.headers} == {"Bearer k"}


def test_a_server_that_asks_for_more_time_than_there_is_patience_is_left_alone(tmp_path: Path) -> None:
    file = json_file(tmp_path / "one.jsonl", [call("one")])
    with scripted(problem(503, "overloaded", Retry_After="3600")) as busy:
        result = run("publish", file, "--to", busy.url, "--key", "k", "--patience", 60)
        assert result.exit_code == 3
        assert "overloaded" in result.stderr
        assert len(busy.bodies) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refusal_is_not_asked_again(tmp_path: Path, status: int) -> None:
    file = json_file(tmp_path / "one.jsonl", [call("one"), call("two")])
    with scripted(problem(status, "no_way")) as server:
        assert run("publish", file, "--to", server.url, "--key", "k").exit_code == 3
        assert len(server.bodies) == 1


def test_a_batch_too_large_for_the_server_is_halved_down_to_the_item_that_is(tmp_path: Path) -> None:
    file = json_file(tmp_path / "large.jsonl", [call("a"), call("b"), call("c")])
    large = problem(413, "body_too_large")
    with scripted(large, took(1), large, took(1), large) as server:
        told = answer("publish", file, "--to", server.url, "--key", "k", exit=1)
        assert counts_in(told) == counted(3, accepted=2, not_sent=1)
        assert [len(json.loads(body)["batch"]) for body in server.bodies] == [3, 1, 2, 1, 1]
        assert [line["line"] for line in told["not_sent_lines"]] == [3]


@pytest.mark.parametrize(("most", "sizes"), [(1, [1, 1, 1]), (2, [2, 1]), (500, [3])])
def test_batches_hold_as_many_items_as_asked_for(tmp_path: Path, most: int, sizes: list[int]) -> None:
    file = json_file(tmp_path / "three.jsonl", [call(id) for id in "abc"])
    with scripted(*(took(size) for size in sizes)) as server:
        assert (
            counts_in(answer("publish", file, "--to", server.url, "--key", "k", "--batch", most))["accepted"]
            == 3
        )
        assert [len(json.loads(body)["batch"]) for body in server.bodies] == sizes


def test_the_plain_answer_lists_what_was_not_taken_and_then_the_counts(tmp_path: Path) -> None:
    file = json_file(tmp_path / "some.jsonl", [call("a"), BROKEN])
    result = run("publish", file, "--data", tmp_path / "book", "--source", "shop")
    assert result.exit_code == 1
    cells = [line.split("\t") for line in result.stdout.splitlines()]
    assert cells[0][:3] == ["rejected", "2", "type_unknown"]
    assert {name: int(number) for name, number in cells[1:]} == counted(2, accepted=1, rejected=1)


def test_the_same_file_gives_the_same_book_whichever_way_it_comes(shop: Shop, tmp_path: Path) -> None:
    """Taken through the door first, the same bytes straight into a copy of nothing count as new there, and the
    timeline reads alike."""
    user, a, b = new(3)
    nulls = {**event(b, user), "subject": None, "note": True}
    file = json_file(tmp_path / "same.jsonl", [call(a, user, context={"channel": "store"}), nulls])
    answer("publish", file, *shop.asked_with("publish"))
    answer("publish", file, "--data", tmp_path / "book", "--source", "shop", "--channel", "web_chat")
    through, straight = (
        answer("timeline", f"user_id:{user}", "--data", data)["items"]
        for data in (shop.data, tmp_path / "book")
    )
    own = ("recorded_at", "position", "subject")
    assert len(through) == 2
    assert [{name: item[name] for name in item if name not in own} for item in through] == [
        {name: item[name] for name in item if name not in own} for item in straight
    ]


def test_a_directory_that_a_server_writes_is_left_to_it(shop: Shop, tmp_path: Path) -> None:
    file = json_file(tmp_path / "one.jsonl", [call("one")])
    result = run("publish", file, "--data", shop.data, "--source", "shop")
    assert result.exit_code == 1
    assert "--to" in result.stderr


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
