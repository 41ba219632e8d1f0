"""`touchbook policy`: a file is read as the server reads it, and tried on what happened."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import httpx
import pytest

from tests.cli.commands import answer, run
from tests.cli.conftest import Shop

STANDARD = Path(str(resources.files("touchbook") / "policies" / "standard.yaml"))


def changed(folder: Path, old: str, new: str) -> Path:
    text = STANDARD.read_text("utf-8")
    assert old in text
    file = folder / "policy.yaml"
    file.write_text(text.replace(old, new, 1), "utf-8")
    return file


def test_the_shipped_policy_is_sound_and_says_what_it_means() -> None:
    told = answer("policy", "check", STANDARD)
    assert (told["ok"], told["problem"]) == (True, None)
    (version,) = told["versions"]
    assert version["version"] == "standard-1"
    assert ["ignored after", "3d"] in version["promises"]
    assert run("policy", "check", STANDARD).stdout.count("within") == 2


def test_check_names_the_line_and_column_of_a_mistake(tmp_path: Path) -> None:
    file = changed(tmp_path, "ignored_after: 72h", "ignored_after: 72 hours")
    told = run("policy", "check", file, "--json")
    assert told.exit_code == 1
    assert "policy.yaml:" in told.stderr
    assert "72h" in told.stderr or "24h" in told.stderr


def test_check_knows_the_tiers_of_fatigue(tmp_path: Path) -> None:
    file = changed(tmp_path, "fatigue: {exhausted: deny}", "fatigue: {tyred: deny}")
    told = run("policy", "check", file)
    assert told.exit_code == 1
    assert "`fatigue` has no `tyred`; it can say fresh, fine, tired, exhausted" in told.stderr


def test_check_says_everything_that_binds(tmp_path: Path) -> None:
    file = changed(tmp_path, "company: {zone: UTC, hours: always}", COMPANY)
    text = file.read_text("utf-8").replace("{silent_after: 5d}", "{silent_after: 3d, time: working}")
    file.write_text(text.replace("fatigue: {exhausted: deny}", CONTACT), "utf-8")
    (version,) = answer("policy", "check", file)["versions"]
    told = [*map(tuple, version["promises"]), *map(tuple, version["contact"])]
    for line in SAID:
        assert line in told


COMPANY = (
    'company: {zone: Europe/Riga, hours: {mon-thu: "09:00-18:00", sat: ["09:00-12:00", "13:00-24:00"]}, \
holidays: [2026-12-24, --12-25]}'
)
CONTACT = """fatigue: {exhausted: deny, tired: {caps: [{name: when tired, most: 1, window: 7d}]}}
    caps: [{name: sales, tags: [sale], purposes: [offer], most: 2, per: week, soft: true}]
    cadence: [{name: hello, purposes: [teach], every: 90d}]"""
SAID = [
    ("company's time", "Europe/Riga"),
    ("working hours mon, tue, wed, thu", "09:00-18:00"),
    ("working hours sat", "09:00-12:00, 13:00-24:00"),
    ("holidays", "2026-12-24, each 12-25"),
    ("reply: everything else", "within 1d"),
    ("a silent case", "after 72h of working time"),
    ("fatigue exhausted", "deny"),
    ("fatigue tired: when tired", "everything that counts: 1 in 7d"),
    ("cap sales", "purpose offer, tag sale: 2 a week; not where a cadence is due"),
    ("cadence hello", "purpose teach: every 90d"),
    ("wished frequency", "daily 1d, weekly 7d, monthly 30d, never deny"),
    ("language of the message", "one he understands"),
]


def test_a_file_that_is_not_there_is_wrong_use(tmp_path: Path) -> None:
    told = run("policy", "check", tmp_path / "none.yaml")
    assert told.exit_code == 2
    assert "none.yaml" in told.stderr


def sent(shop: Shop) -> None:
    headers = {"Authorization": f"Bearer {shop.publish}"}
    call = {
        "userId": "simulated",
        "event": "message_sent",
        "messageId": "m-1",
        "properties": {"purpose": "service"},
    }
    assert httpx.post(f"{shop.url}/v1/track", json=call, headers=headers).json()["accepted"] in (0, 1)


@pytest.mark.parametrize("as_json", [True, False])
def test_simulate_tells_both_policies_side_by_side(shop: Shop, tmp_path: Path, as_json: bool) -> None:
    file = changed(tmp_path, "fatigue: {exhausted: deny}", "caps: [{name: never, most: 0, window: 1d}]")
    sent(shop)
    command = ("policy", "simulate", file, "--data", shop.data, "--from", "2020-01-01")
    if as_json:
        told = answer(*command)
        assert told["policies"] == {"candidate": ["standard-1"], "live": ["standard-1"]}
        assert told["live"]["messages"]["deferred"] == 0
        assert told["candidate"]["messages"]["reserved"] == told["live"]["messages"]["reserved"] > 0
        assert told["customers"] == sum(tier["customers"] for tier in told["tiers"]) > 0
    else:
        assert "messages kept back" in run(*command).stdout


def test_days_the_wrong_way_round_are_refused(shop: Shop) -> None:
    told = run(
        "policy", "simulate", STANDARD, "--data", shop.data, "--from", "2026-02-01", "--to", "2026-01-01"
    )
    assert told.exit_code == 2
    assert "--from" in told.stderr


@pytest.mark.parametrize("option", ["--from", "--to"])
def test_a_day_that_is_none_is_named_by_its_option(shop: Shop, option: str) -> None:
    told = run("policy", "simulate", STANDARD, "--data", shop.data, option, "soon")
    assert told.exit_code == 2
    assert f"{option}: expected a UTC day" in told.stderr
