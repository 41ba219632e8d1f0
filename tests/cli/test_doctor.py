"""`touchbook doctor`: what it looks at, what it says, and how it ends."""

from __future__ import annotations

import json
import os
import socket
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.books import a_book, event, folded, publish
from tests.cli.commands import answer, key_for, lines, run, scripted
from tests.cli.conftest import Shop
from touchbook import wiring
from touchbook.cli import doctor
from touchbook.cli.doctor import PROBED, Finding
from touchbook.settings import settings_from

HOPS = ["connect", "answer", "durable", "visible", "scores read"]


def report(*arguments: object, exit: int = 0) -> dict[str, dict[str, Any]]:
    """The findings by what was checked."""
    told = answer("doctor", *arguments, exit=exit)
    assert told["status"] == max((one["status"] for one in told["checks"]), key=["ok", "warn", "fail"].index)
    assert all(one["next"] for one in told["checks"] if one["status"] != "ok")
    return {one["check"]: one for one in told["checks"]}


def statuses(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {check: one["status"] for check, one in found.items() if one["status"] != "ok"}


@pytest.fixture(scope="module")
def channel(shop: Shop) -> str:
    return key_for(shop.data, "channel", "doctor", "web_chat")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with a few touchpoints in it, on which no server runs."""
    with a_book(tmp_path / "book") as book:
        publish(book, [event("order_placed", {"order_id": f"o-{n}"}, id=f"e-{n}") for n in range(5)])
        folded(book)
    return tmp_path / "book"


# A server


def test_a_probe_is_followed_from_the_door_to_a_score(shop: Shop, channel: str) -> None:
    found = report("--to", shop.url, "--key", channel)
    assert all(found[hop]["status"] == "ok" and found[hop]["milliseconds"] > 0 for hop in HOPS)
    assert {"version", "clock", "ready", "lag", "set aside", "unreadable", "clock steady"} <= found.keys()
    headers = {"Authorization": f"Bearer {shop.agent}"}
    path = f"{shop.url}/v1/customers/user_id:{PROBED}/timeline"
    newest = httpx.get(path, headers=headers).json()["items"][0]
    assert (newest["type"], newest["source"], newest["channel"]) == ("doctor_probe", "doctor", "doctor")
    assert newest["data"] == {"sent_by": "touchbook doctor"}


def test_the_probe_moves_no_score(shop: Shop, channel: str) -> None:
    report("--to", shop.url, "--key", channel)
    headers = {"Authorization": f"Bearer {shop.agent}"}
    scores = httpx.get(f"{shop.url}/v1/customers/user_id:{PROBED}/scores", headers=headers).json()["scores"]
    assert {score["evidence"] for score in scores.values()} == {0}


def test_without_a_probe_nothing_is_sent(shop: Shop, channel: str) -> None:
    def accepted() -> str:
        text = httpx.get(f"{shop.url}/metrics").text
        return next(
            line for line in text.splitlines() if line.startswith('touchbook_accepted_total{source="doctor"')
        )

    report("--to", shop.url, "--key", channel)
    before = accepted()
    found = report("--to", shop.url, "--key", channel, "--no-probe")
    assert accepted() == before
    assert not {"durable", "visible", "scores read"} & found.keys()


@pytest.mark.parametrize("role", ["publish", "agent", "admin"])
def test_a_key_of_another_role_gets_as_far_as_it_may(shop: Shop, role: str) -> None:
    found = report("--to", shop.url, "--key", getattr(shop, role))
    assert statuses(found) == {"probe": "warn"}
    assert "role channel" in found["probe"]["next"]
    assert ("durable" in found) == (role == "publish")
    assert answer("set-aside", "list", *shop.asked_with("admin"))["items"] == []


def test_an_unknown_key_is_a_refusal_and_no_server_is_unreachable(shop: Shop) -> None:
    found = report("--to", shop.url, "--key", "nobody", exit=3)
    assert statuses(found) == {"key": "fail"}
    assert "`touchbook keys create --role channel`" in found["key"]["next"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert statuses(report("--to", f"http://127.0.0.1:{port}", "--key", "k", exit=4)) == {"server": "fail"}


def test_both_ends_of_one_machine_are_looked_at_together(shop: Shop, channel: str) -> None:
    found = report("--to", shop.url, "--key", channel, "--data", shop.data)
    assert {"durable", "disk", "master key"} <= found.keys()
    assert found["server"]["found"] == f"process {os.getpid()} serves it"


def test_lines_are_for_people(shop: Shop, channel: str) -> None:
    rows = lines("doctor", "--to", shop.url, "--key", channel)
    assert [row[1] for row in rows if row[1] in HOPS] == HOPS
    assert {row[0] for row in rows} == {"ok"}


METRICS = b'# TYPE touchbook_%s gauge\ntouchbook_%s{projection="entries"} %d\n'


@pytest.mark.parametrize(
    ("name", "level", "check", "status"),
    [
        ("lag_touchpoints", 1_000, "lag", "ok"),
        ("lag_touchpoints", 1_001, "lag", "warn"),
        ("lag_touchpoints", 50_001, "lag", "fail"),
        ("set_aside", 3, "set aside", "warn"),
        ("unreadable", 1, "unreadable", "fail"),
    ],
)
def test_levels_are_told_as_the_metrics_say(name: str, level: int, check: str, status: str) -> None:
    metrics = METRICS % (name.encode(), name.encode(), level)
    exit = 1 if status == "fail" else 0
    health = json.dumps({"status": "up", "version": "0.0.0"}).encode()
    with scripted((200, {}, health), (200, {}, b"{}"), (200, {}, metrics)) as server:
        found = report("--to", server.url, "--key", "tb_channel_x", "--no-probe", exit=exit)
    assert found[check]["status"] == status
    assert found["version"]["status"] == "warn"


@pytest.mark.parametrize(
    ("ahead", "status"), [(0, "ok"), (-1, "ok"), (60, "warn"), (-60, "warn"), (3600, "fail"), (-3600, "fail")]
)
def test_a_server_whose_clock_differs_is_told_by_how_much(ahead: int, status: str) -> None:
    here = int(time.time()) + 0.25
    found = doctor._clock(formatdate(here + ahead, usegmt=True), here - 0.1, here)
    assert found.status == status
    assert status == "ok" or f"{ahead:+d}"[:3] in found.found or f"{ahead + 1:+d}"[:3] in found.found
    assert doctor._clock(None, here, here).status == "warn"


def test_a_server_that_is_not_ready_is_told_with_its_own_words() -> None:
    health = json.dumps({"status": "up", "version": "0.0.0"}).encode()
    unready = {"code": "not_ready", "message": "follower: it stands still; the log says why"}
    with scripted((200, {}, health), (503, {"Retry-After": "1"}, unready), (200, {}, b"")) as server:
        found = report("--to", server.url, "--key", "k", "--no-probe", exit=1)
    assert found["ready"]["found"] == unready["message"]


# A data directory


def test_a_sound_directory_is_well(data: Path) -> None:
    found = report("--data", data, "--deep")
    assert statuses(found) == {}
    assert found["unreadable"]["found"] == "no record in a sample of 5 of 5"
    assert {"pages of journal.sqlite", "pages of keyring.sqlite", "pages of control.sqlite"} <= found.keys()
    assert found["disk"]["milliseconds"] > 0
    assert found["server"]["found"] == "no server runs on it"


def test_looking_leaves_nothing_behind(data: Path) -> None:
    before = {path.name for path in data.iterdir() if not path.name.endswith(("-wal", "-shm"))}
    report("--data", data, "--deep")
    assert {path.name for path in data.iterdir() if not path.name.endswith(("-wal", "-shm"))} == before


def test_a_master_key_that_others_may_read_is_told(data: Path) -> None:
    (data / "master.key").chmod(0o644)
    data.chmod(0o755)
    found = report("--data", data)
    assert statuses(found) == {"directory rights": "warn", "master key rights": "warn"}
    assert "chmod 600" in found["master key rights"]["next"]


@pytest.mark.parametrize("text", ["", "0" * 64, "not hex"])
def test_a_master_key_that_does_not_open_the_keyring_is_told(data: Path, text: str) -> None:
    (data / "master.key").write_text(text)
    found = report("--data", data, exit=1)
    assert "master key" in found["data directory"]["found"]
    assert "disk" in found


def test_a_directory_without_a_journal_fails_and_is_not_made(tmp_path: Path) -> None:
    found = report("--data", tmp_path / "none", exit=1)
    assert "holds no journal" in found["data directory"]["found"]
    assert not (tmp_path / "none").exists()


def test_a_damaged_page_is_found_when_asked_to_look_deep(data: Path) -> None:
    journal = data / "journal.sqlite"
    journal.write_bytes(journal.read_bytes()[:8192] + os.urandom(4096) + journal.read_bytes()[12288:])
    found = report("--data", data, "--deep", exit=1)
    assert found["pages of journal.sqlite"]["status"] == "fail"
    assert "backup" in found["pages of journal.sqlite"]["next"]


def test_what_was_set_aside_and_what_waits_to_be_folded_are_told(data: Path) -> None:
    with a_book(data) as book:
        publish(book, [event("order_placed", {"order_id": 1 << 70}, id="bad"), event("visited", id="good")])
    found = report("--data", data)
    assert found["set aside"]["status"] == "warn"
    assert found["lag"]["found"].startswith("1 touchpoints wait for a server")


def test_projections_are_of_the_same_version_after_an_erasure(data: Path) -> None:
    answer("erase", "user_id:ann", "--yes", "--data", data)

    assert report("--data", data)["projections"]["status"] == "ok"


def test_projections_of_another_version_are_told(data: Path, tmp_path: Path) -> None:
    mapping = tmp_path / "shop.yaml"
    mapping.write_text("Basket Hugged:\n  signals: [visit]\n")
    config = tmp_path / "touchbook.toml"
    config.write_text(f'mappings = ["{mapping}"]\n')
    found = report("--data", data, "--config", config)
    assert statuses(found) == {"projections": "warn"}
    assert "touchbook rebuild" in found["projections"]["next"]


def test_a_journal_written_in_the_future_says_that_the_clock_went_back(tmp_path: Path) -> None:
    ahead = wiring.now() + 3_600_000
    book = wiring.open_book(settings_from(data=tmp_path / "book"), clock=lambda: ahead)
    try:
        publish(book, [event("visited", id="one")])
    finally:
        book.close()
    assert statuses(report("--data", tmp_path / "book", exit=1)) == {"journal's clock": "fail"}


def test_a_clock_that_was_moved_while_it_ran_is_told() -> None:
    assert doctor._steady(time.time() - 5, time.monotonic()).status == "warn"
    assert doctor._steady(time.time(), time.monotonic()).status == "ok"


GIB = 2**30


@pytest.mark.parametrize(
    ("free", "status"), [(900 * GIB, "ok"), (3 * GIB, "ok"), (GIB, "warn"), (2**20, "fail")]
)
def test_a_disk_is_full_before_it_is_full(
    data: Path, free: int, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type(doctor.shutil.disk_usage("/"))(1000 * GIB, 1000 * GIB - free, free)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    assert doctor._space(data).status == status


def test_a_small_disk_with_little_room_is_told_though_it_is_mostly_empty(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type(doctor.shutil.disk_usage("/"))(GIB // 2, GIB // 4 + 1, GIB // 4 - 1)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    assert doctor._space(data).status == "warn"


def test_limits_are_held_against_the_settings(data: Path) -> None:
    narrow = {"TOUCHBOOK_MAX_CONNECTIONS": "10000000", "TOUCHBOOK_MAX_QUEUE": "1000000000"}
    result = run("doctor", "--data", data, "--json", env=narrow)
    found = {one["check"]: one["status"] for one in json.loads(result.stdout)["checks"]}
    assert (found["open files"], found["memory"]) == ("warn", "warn")


def test_a_slow_hop_is_told_with_what_to_look_at() -> None:
    assert doctor._hop("durable", 0.9, "the disk") == Finding("durable", "ok", "900.0 ms", milliseconds=900.0)
    slow = doctor._hop("durable", 1.5, "the disk")
    assert (slow.status, slow.next) == ("warn", "the disk")
