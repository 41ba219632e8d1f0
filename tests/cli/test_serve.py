"""`touchbook serve`, as a process of its own."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.cli.commands import BROKEN, answer, call, json_file, key_for, listening, run, started
from tests.cli.conftest import Shop
from touchbook.cli.serve import expire_set_aside, running
from touchbook.settings import settings_from

DAY = 86_400_000


@contextmanager
def serving(data: Path, *options: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server's process and its address; killed if the test has not ended it."""
    process = started("serve", "--data", data, "--port", 0, "--json", *options)
    try:
        yield process, listening(process)
    finally:
        process.kill()
        process.communicate()


def health(url: str) -> int:
    return httpx.get(f"{url}/healthz", trust_env=False).status_code


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_stops_when_told_to(tmp_path: Path, name: signal.Signals) -> None:
    with serving(tmp_path / "new") as (process, url):
        assert health(url) == 200
        process.send_signal(name)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, "")
        assert f"Touchbook listens on {url}" in err
        assert "Traceback" not in err


def test_without_json_stdout_stays_empty(tmp_path: Path) -> None:
    process = started("serve", "--data", tmp_path, "--port", 0)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("Touchbook listens on http://127.0.0.1:")
    process.terminate()
    assert process.communicate(timeout=60)[0] == ""
    assert process.returncode == 0


def test_what_is_under_way_is_answered_before_it_stops(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, url):
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(b"POST /v1/track HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{")
            assert health(url) == 200  # the server is in the middle of the request by now
            process.terminate()
            while _takes_more(host, int(port)):
                time.sleep(0.01)
            connection.sendall(b"}")
            assert connection.recv(100).startswith(b"HTTP/1.1 401")
        process.communicate(timeout=60)
        assert process.returncode == 0


def _takes_more(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=60).close()
    except OSError:
        return False
    return True


def test_a_live_stream_does_not_hold_it_up_for_ever_and_has_an_end(tmp_path: Path) -> None:
    agent = key_for(tmp_path, "agent", "desk")
    with serving(tmp_path) as (process, url):
        key = key_for(tmp_path, "publish")
        answer("publish", json_file(tmp_path / "one.jsonl", [call("one")]), "--to", url, "--key", key)
        ask = {"Authorization": f"Bearer {agent}"}
        path = f"{url}/v1/customers/user_id:42/timeline"
        while httpx.get(path, headers=ask, trust_env=False).status_code != 200:
            time.sleep(0.01)
        with httpx.stream("GET", f"{path}/stream", headers=ask, trust_env=False, timeout=60) as stream:
            assert stream.status_code == 200
            process.terminate()
            stream.read()  # fails where the body is cut off
            _, said = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "ERROR" not in said


def test_everything_is_there_again_after_it_was_killed(tmp_path: Path) -> None:
    key = key_for(tmp_path, "publish")
    file = json_file(tmp_path / "three.jsonl", [call(id) for id in "abc"])
    with serving(tmp_path) as (process, url):
        answer("publish", file, "--to", url, "--key", key)
        process.kill()
        process.communicate()
    with serving(tmp_path) as (_, url):
        assert answer("publish", file, "--to", url, "--key", key)["duplicates"] == 3
    assert len(answer("timeline", "user_id:42", "--data", tmp_path)["items"]) == 3


def test_a_second_server_on_the_same_directory_fails(shop: Shop) -> None:
    result = run("serve", "--data", shop.data, "--port", 0, "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "another process writes the journal" in result.stderr


def test_a_port_that_is_taken_fails_before_anything_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("serve", "--data", tmp_path / "book", "--port", taken.getsockname()[1], "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "--port" in result.stderr
    assert not (tmp_path / "book").exists()


def test_a_host_that_is_none_fails(tmp_path: Path) -> None:
    assert (
        run("serve", "--data", tmp_path / "book", "--host", "no.such.host.invalid", "--port", 0).exit_code
        == 1
    )


@pytest.mark.parametrize(
    "options",
    [
        ("--port", "70000"),
        ("--log-level", "loud"),
        ("--phone-region", "Germany"),
        ("--config", "/nowhere.toml"),
    ],
)
def test_a_setting_that_cannot_be_is_wrong_use(tmp_path: Path, options: tuple[str, ...]) -> None:
    result = run("serve", "--data", tmp_path / "book", "--json", *options)
    assert (result.exit_code, result.stdout) == (2, "")


def test_a_scorecard_or_mapping_that_cannot_be_read_fails_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "cards").mkdir()
    broken = tmp_path / "cards" / "charm.yaml"
    broken.write_text("name: charm\nnonsense: true\n")
    for options in (("--scorecards", broken.parent), ("--mapping", broken)):
        result = run("serve", "--data", tmp_path / "book", "--port", 0, *options)
        assert result.exit_code == 1
        assert "charm.yaml" in result.stderr


def test_a_server_in_a_thread_answers_as_long_as_the_block_runs(tmp_path: Path) -> None:
    with running(settings_from(data=tmp_path, port=0)) as server:
        assert health(server.url) == 200
        assert server.book.follower.alive
    with pytest.raises(httpx.TransportError):
        health(server.url)


def test_what_was_set_aside_too_long_ago_is_gone_after_a_start(tmp_path: Path) -> None:
    file = json_file(tmp_path / "b.jsonl", [BROKEN])
    answer("publish", file, "--data", tmp_path / "book", "--source", "shop", exit=1)
    with running(settings_from(data=tmp_path / "book", port=0)) as server:
        control = server.book.control
        (fresh,), _ = control.list_set_aside()
        old = type(fresh)(
            key="", reason=fresh.reason, code=fresh.code, source=fresh.source, channel=None, route=fresh.route,
            inherited=fresh.inherited, received_at=fresh.received_at - 91 * DAY, raw=fresh.raw, sent_at=None,
        )  # fmt: skip
        control.set_aside([old])
        assert expire_set_aside(server.book) == 1
        control.set_aside([old])
    with running(settings_from(data=tmp_path / "book", port=0)) as server:
        while len(server.book.control.list_set_aside()[0]) > 1:
            time.sleep(0.01)
        assert server.book.control.list_set_aside()[0] == [fresh]
