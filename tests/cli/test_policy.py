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
