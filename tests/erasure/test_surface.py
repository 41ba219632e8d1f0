"""Erasing over HTTP and from the command line."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.api.serving import problem_of
from tests.books import a_book, event, folded, publish
from tests.cli.commands import answer, call, json_file, key_for, lines, run
from tests.cli.conftest import Shop
from touchbook.api import models
from touchbook.cli.exits import FAILED, REFUSED, WRONG_USE
from touchbook.cli.remote import Server
from touchbook.sealing import new_key_id
from touchbook.streams import rebuild


def published(shop: Shop, tmp_path: Path, user: str) -> None:
    walk = call(f"{user}-1", user)
    known = {
        "type": "identify",
        "userId": user,
        "messageId": f"{user}-2",
        "traits": {"email": f"{user}@example.test"},
    }
    file = json_file(tmp_path / "calls", [walk, {**known, "timestamp": "2026-05-01T10:00:00Z"}])
    answer("publish", file, *shop.asked_with("publish"))


def test_a_receipt_is_as_documented_and_can_be_read_again(shop: Shop, tmp_path: Path) -> None:
    published(shop, tmp_path, "ann")
    with Server(shop.url, shop.admin) as server:
        receipt = server.post("/v1/customers:erase", {"type": "email", "value": "Ann@Example.TEST"})

        assert models.ErasureOut.model_validate(receipt).state == "done"
        assert receipt["touchpoints"] == 2
        assert server.get(f"/v1/erasures/{receipt['erasure']}") == receipt
        assert receipt in server.get("/v1/erasures")["items"]
        assert answer("erase", "--receipts", *shop.asked_with("admin"))["items"][0] == receipt
        assert answer("erase", "--receipts", "--data", shop.data)["items"][0] == receipt
    gone = run("timeline", "user_id:ann", *shop.asked_with("agent"))
    assert gone.exit_code == REFUSED


def test_who_asked_is_in_the_receipt(shop: Shop, tmp_path: Path) -> None:
    published(shop, tmp_path, "who")
    receipt = answer("erase", "user_id:who", "--yes", *shop.asked_with("admin"))

    keys = {key["id"]: key["role"] for key in answer("keys", "list", "--data", shop.data)["items"]}
    assert keys[receipt["requested_by"]] == "admin"


def test_only_an_admin_may(shop: Shop, tmp_path: Path) -> None:
    published(shop, tmp_path, "safe")
    for role in ("agent", "publish"):
        assert run("erase", "user_id:safe", "--yes", *shop.asked_with(role)).exit_code == REFUSED
    assert run("timeline", "user_id:safe", *shop.asked_with("agent")).exit_code == 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"type": "email"},
        {"ref": "user_id:x", "type": "email", "value": "x@example.test"},
        {"ref": "user_id:x", "id": "short"},
    ],
)
def test_a_request_that_does_not_say_whom_is_refused(shop: Shop, body: dict[str, str]) -> None:
    with Server(shop.url, shop.admin) as server:
        refused = server._client.post("/v1/customers:erase", json=body)

    assert (refused.status_code, problem_of(refused)["code"]) == (422, "parameter_invalid")
    assert "example.test" not in refused.text


def test_an_e_mail_as_a_reference_and_somebody_unknown_are_refused(shop: Shop) -> None:
    with Server(shop.url, shop.admin) as server:
        by_mail = server._client.post("/v1/customers:erase", json={"ref": "email:ann@example.test"})
        unknown = server._client.post("/v1/customers:erase", json={"ref": "user_id:nobody"})
        no_receipt = server._client.get("/v1/erasures/unknown")

    assert (by_mail.status_code, problem_of(by_mail)["code"]) == (400, "reference_invalid")
    assert (unknown.status_code, problem_of(unknown)["code"]) == (404, "customer_unknown")
    assert (no_receipt.status_code, problem_of(no_receipt)["code"]) == (404, "erasure_unknown")


def test_sent_again_under_its_own_id_it_stays_one_erasure(shop: Shop, tmp_path: Path) -> None:
    published(shop, tmp_path, "again")
    asked = {"ref": "user_id:again", "id": new_key_id()}
    with Server(shop.url, shop.admin) as server:
        first = server.post("/v1/customers:erase", asked)
        published(shop, tmp_path / "..", "again2")
        assert server.post("/v1/customers:erase", asked) == first
    assert first["erasure"] == asked["id"]


def test_a_live_stream_of_the_erased_says_reload_and_ends(shop: Shop, tmp_path: Path) -> None:
    published(shop, tmp_path, "live")
    timeline = "/v1/customers/user_id%3Alive/timeline"
    with Server(shop.url, shop.agent) as server:
        while server._client.get(timeline).status_code == 404:  # not folded yet
            time.sleep(0.05)
        with server._client.stream("GET", f"{timeline}/stream") as stream:
            assert stream.status_code == 200
            answer("erase", "user_id:live", "--yes", *shop.asked_with("admin"))
            events = [line for line in stream.iter_lines() if line.startswith("event:")]

    assert events == ["event: reload"]


def test_erasures_that_wait_do_not_keep_anybody_else_waiting(shop: Shop, tmp_path: Path) -> None:
    published(shop, tmp_path, "waited-for")
    asked = {"ref": "user_id:waited-for"}
    many = httpx.Limits(max_connections=None)
    headers = {"Authorization": f"Bearer {shop.admin}"}
    with (
        httpx.Client(base_url=shop.url, headers=headers, timeout=60, limits=many) as client,
        ThreadPoolExecutor(60) as threads,
    ):
        with rebuild._alone(shop.data):  # as while the projections are being rebuilt
            waiting = [threads.submit(client.post, "/v1/customers:erase", json=asked) for _ in range(60)]
            while client.get("/v1/erasures", timeout=10).json()["items"][0]["state"] != "struck":
                time.sleep(0.05)
            time.sleep(0.5)  # by now all of them have come in
            client.get("/v1/erasures", timeout=10).raise_for_status()
            assert not any(one.done() for one in waiting)
        receipts = {one.result().json()["erasure"] for one in waiting}

    assert len(receipts) == 1


def test_beside_a_running_server_the_command_says_to_ask_it(shop: Shop) -> None:
    refused = run("erase", "user_id:ann", "--yes", "--data", shop.data)

    assert refused.exit_code == FAILED
    assert "--to URL --key KEY" in refused.stderr


def test_without_a_server_it_opens_the_directory_itself(tmp_path: Path) -> None:
    with a_book(tmp_path) as book:
        publish(
            book,
            [
                event("walk_taken", who={"email": "ann@example.test"}, id="1"),
                event("walk_taken", who="bob", id="2"),
            ],
        )

    receipt = answer("erase", "-", "--yes", "--data", tmp_path, input="email:ann@example.test\n")

    assert (receipt["state"], receipt["touchpoints"], receipt["requested_by"]) == ("done", 1, None)
    assert [row[1] for row in lines("erase", "--receipts", "--data", tmp_path)] == ["done"]
    with a_book(tmp_path) as book:
        assert book.customers.find("user_id:bob")
    plain = run("erase", "user_id:bob", "--yes", "--data", tmp_path)
    assert f"backups need\t{tmp_path / 'destroyed-keys.txt'}" in plain.stdout


def test_nobody_is_erased_by_accident(tmp_path: Path) -> None:
    with a_book(tmp_path) as book:
        publish(book, [event("walk_taken", who="ann", id="1")])
        folded(book)

    for wrong in (("erase", "user_id:ann"), ("erase",), ("erase", "user_id:ann", "--receipts", "--yes")):
        assert run(*wrong, "--data", tmp_path).exit_code == WRONG_USE
    assert run("erase", "user_id:ann", "--yes", "--data", tmp_path / "nothing").exit_code == FAILED
    with a_book(tmp_path) as book:
        assert book.customers.find("user_id:ann")


def test_keys_made_while_nobody_serves_know_the_same_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOUCHBOOK_DESTROYED_KEYS", str(tmp_path / "elsewhere" / "list.txt"))
    key_for(tmp_path / "data", "admin")

    assert (tmp_path / "elsewhere" / "list.txt").read_text().startswith("touchbook destroyed keys, list ")
    assert not (tmp_path / "data" / "destroyed-keys.txt").exists()
