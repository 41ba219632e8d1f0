"""`touchbook audit`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.commands import answer, lines, run
from tests.streams.sharing import Shared
from touchbook.cli.exits import FAILED, WRONG_USE
from touchbook.streams.audit import START, Audit
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_audit import KafkaAudit
from touchbook.streams.backends.sqlite_audit import FILE, SqliteAudit

MARTA = "920edb43d65f5b1841bd15ba0c7e0b1f"
VERA = "dfd8d1c6928537d7de1fd8261a3bb9c7"


def looked_at(audit: Audit) -> None:
    """Five entries."""
    audit.append("key-ines", "Ines Costa", "signed_in", None, {}, 1_778_000_000_000)
    for customer in (MARTA, VERA):
        audit.append("key-ines", "Ines Costa", "viewed", customer, {}, 1_778_000_001_000)
    audit.append("key-ines", "Ines Costa", "revealed", MARTA, {"identifier": "email"}, 1_778_000_002_000)
    audit.append("key-boris", "Борис", "viewed", MARTA, {}, 1_778_000_003_000)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    with closing(SqliteAudit.at(tmp_path)) as audit:
        looked_at(audit)
    return tmp_path


def changed(data: Path, statement: str) -> None:
    with closing(sqlite3.connect(data / FILE)) as stranger, stranger:
        stranger.execute(statement)


def test_a_whole_trail_ends_with_0_and_tells_its_head(data: Path) -> None:
    told = answer("audit", "verify", "--data", data)
    assert (told["whole"], told["entries"], told["broken_at"], told["why"]) == (True, 5, None, None)
    assert answer("audit", "verify", "--data", data, "--head", told["head"]) == told
    assert answer("audit", "verify", "--data", data, "--head", START) == told
    assert ["head", told["head"]] in lines("audit", "verify", "--data", data)


def test_a_broken_trail_ends_with_1_and_says_where_and_what_to_do(data: Path) -> None:
    changed(data, "UPDATE audit SET text = replace(text, 'Ines', 'Olga') WHERE position = 4")
    told = answer("audit", "verify", "--data", data, exit=FAILED)
    assert (told["whole"], told["entries"], told["broken_at"]) == (False, 3, 4)
    result = run("audit", "verify", "--data", data)
    assert result.exit_code == FAILED
    assert "broken at position 4: its hash is not that of what it says" in result.stderr
    assert "compare it with a backup" in result.stderr
    assert "Olga" not in result.stdout + result.stderr


def test_a_trail_that_was_cut_off_shows_by_the_head_told_before(data: Path) -> None:
    head = answer("audit", "verify", "--data", data)["head"]
    changed(data, "DELETE FROM audit WHERE position > 3")
    assert answer("audit", "verify", "--data", data)["entries"] == 3
    told = answer("audit", "verify", "--data", data, "--head", head, exit=FAILED)
    assert told["broken_at"] is None
    assert "cut off" in told["why"]


def test_a_damaged_file_is_a_broken_trail(data: Path) -> None:
    with closing(SqliteAudit.at(data)) as audit:
        for at in range(200):
            audit.append("key-ines", "Ines Costa", "viewed", MARTA, {}, at)
    changed(data, "PRAGMA wal_checkpoint(TRUNCATE)")
    with (data / FILE).open("r+b") as file:
        file.seek(-8192, 2)
        file.write(bytes(8192))
    told = answer("audit", "verify", "--data", data, exit=FAILED)
    assert not told["whole"]


def test_what_is_no_head_is_wrong_use(data: Path) -> None:
    for head in ("", "abc", "G" * 64, "AB" * 32):
        result = run("audit", "verify", "--data", data, "--head", head)
        assert (result.exit_code, "--head" in result.stderr) == (WRONG_USE, True)


def test_a_directory_without_a_trail_is_left_as_it_is(tmp_path: Path) -> None:
    for command in ("verify", "list"):
        result = run("audit", command, "--data", tmp_path)
        assert result.exit_code == FAILED
        assert "put it back from a backup" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_newest_is_listed_first_of_a_customer_a_key_or_an_act(data: Path) -> None:
    told = answer("audit", "list", "--data", data)
    assert [item["position"] for item in told["items"]] == [5, 4, 3, 2, 1]
    assert told["next"] is None
    newest = told["items"][1]
    assert {name: newest[name] for name in ("at", "who", "name", "act", "customer", "details")} == {
        "at": "2026-05-05T16:53:22.000Z", "who": "key-ines", "name": "Ines Costa", "act": "revealed",
        "customer": MARTA, "details": {"identifier": "email"},
    }  # fmt: skip

    def positions(*options: object) -> list[int]:
        return [item["position"] for item in answer("audit", "list", "--data", data, *options)["items"]]

    assert positions("--customer", VERA) == [3]
    assert positions("--who", "key-ines", "--act", "viewed") == [3, 2]
    assert positions("--limit", 2) == [5, 4]
    assert positions(
        "--limit", 2, "--before", answer("audit", "list", "--data", data, "--limit", 2)["next"]
    ) == [3, 2]
    assert lines("audit", "list", "--data", data)[1][-1] == "identifier=email"


@pytest.mark.server
def test_the_trail_of_many_machines_is_listed_and_verified_too(
    kafka: KafkaPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Shared(kafka, tmp_path)) as shared:
        for process in ("one", "other"):
            with closing(KafkaAudit.at(shared.folder(process), kafka, shared.producer)) as audit:
                looked_at(audit)
    monkeypatch.setenv("TOUCHBOOK_JOURNAL", f"kafka://{','.join(kafka.bootstrap)}")
    monkeypatch.setenv("TOUCHBOOK_TOPIC_PREFIX", kafka.prefix)
    monkeypatch.setenv("TOUCHBOOK_DATA", str(tmp_path / "command"))

    told = answer("audit", "verify")
    assert (told["whole"], told["entries"]) == (True, 10)
    assert answer("audit", "verify", "--head", told["head"]) == told
    items = answer("audit", "list", "--customer", VERA)["items"]
    assert len({item["chain"] for item in items}) == 2
