"""`touchbook scorecard`: a candidate is read, tried on everybody, and said as SQL."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.commands import answer, lines, run
from tests.cli.conftest import Shop
from tests.scorecards.test_backtest import random_events
from touchbook.ledger import day_of
from touchbook.schemas.times import day_text
from touchbook.wiring import now

SHIPPED = Path(str(resources.files("touchbook") / "scorecards"))
NAMES = sorted(file.stem for file in SHIPPED.glob("*.yaml") if file.stem != "groups")
TODAY = day_text(day_of(now()))
BATCH = "application/cloudevents-batch+json"


def candidate(folder: Path, old: str = "", new: str = "", name: str = "loyalty", of: str = "loyalty") -> Path:
    """A copy of a shipped scorecard with one text changed."""
    text = (SHIPPED / f"{of}.yaml").read_text("utf-8")
    assert old in text
    file = folder / f"{name}.yaml"
    file.write_text(text.replace(old, new, 1), "utf-8")
    return file


@pytest.fixture(scope="module")
def busy(shop: Shop) -> Shop:
    """The shop once many people have done many things."""
    headers = {"Authorization": f"Bearer {shop.publish}", "Content-Type": BATCH}
    events = random_events(11, 40, today=day_of(now()))
    with httpx.Client(base_url=shop.url, headers=headers, timeout=60) as http:
        told = http.post("/v1/events", content=json.dumps(events)).json()
    assert told["rejected"] == []
    return shop


# check


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_scorecard_is_sound(name: str) -> None:
    told = answer("scorecard", "check", SHIPPED / f"{name}.yaml")
    assert (told["ok"], told["problem"], told["name"]) == (True, None, name)
    assert told["given_by_nobody"] == told["out_of_reach"] == []
    assert all("milli_points" in line for part in told["parts"] for line in part["components"])


def test_check_names_the_line_and_column_of_a_mistake(tmp_path: Path) -> None:
    file = candidate(tmp_path, "cap: 1", "capp: 1")
    told = answer("scorecard", "check", file, exit=1)
    wrong = told["problem"]
    text = file.read_text("utf-8").splitlines()[wrong["line"] - 1]
    assert text[wrong["column"] - 1 :].startswith("capp: 1")
    shown = run("scorecard", "check", file)
    assert shown.exit_code == 1
    assert shown.stderr.startswith(f"loyalty.yaml:{wrong['line']}:{wrong['column']}: ")
    assert shown.stdout == ""


def test_check_names_the_place_of_what_is_no_yaml(tmp_path: Path) -> None:
    file = tmp_path / "loyalty.yaml"
    file.write_text("version: 1\ntitle: {en: [}\n")
    wrong = answer("scorecard", "check", file, exit=1)["problem"]
    assert (wrong["line"], wrong["column"]) == (2, 14)


def test_check_names_every_signal_that_nobody_gives_and_where_the_first_one_stands(tmp_path: Path) -> None:
    text = (SHIPPED / "loyalty.yaml").read_text("utf-8")
    file = tmp_path / "loyalty.yaml"
    file.write_text(text.replace("referral_made", "refferal_made").replace("social_share", "share_social"))
    told = answer("scorecard", "check", file, exit=1)
    assert told["given_by_nobody"] == ["refferal_made", "share_social"]
    assert "refferal_made" in file.read_text("utf-8").splitlines()[told["problem"]["line"] - 1]
    assert "refferal_made, share_social" in run("scorecard", "check", file).stderr


def test_check_takes_groups_from_beside_the_file_before_the_live_ones(tmp_path: Path) -> None:
    file = candidate(tmp_path)
    assert answer("scorecard", "check", file)["ok"]
    (tmp_path / "groups.yaml").write_text("own_act: {why: All there is., signals: [visit]}\n")
    (own_days,) = [
        line
        for part in answer("scorecard", "check", file)["parts"]
        for line in part["components"]
        if line["id"] == "own_days"
    ]
    assert own_days["signals"] == ["visit"]


def test_check_shows_a_row_for_every_line_and_the_ranges(tmp_path: Path) -> None:
    shown = lines("scorecard", "check", SHIPPED / "satisfaction.yaml")
    assert shown[0][:5] == ["answers", "start", "base", "50000", "50000"]
    assert shown[1][:6] == ["answers", "verdicts", "balance", "-50000", "50000", "swing=50000 prior=4"]
    assert shown[2][:7] == ["answers", "verdicts", "good", "", "", "weight=4 half_life=90 cap=2", "csat_good"]
    assert shown[-2:] == [["milli-points", "0", "100000"], ["value", "0", "100"]]


@pytest.mark.parametrize("command", ["check", "backtest", "sql"])
def test_a_file_that_is_not_there_is_wrong_use(command: str, tmp_path: Path) -> None:
    shown = run("scorecard", command, tmp_path / "none.yaml")
    assert shown.exit_code == 2
    assert "FILE" in shown.stderr


def test_groups_are_no_scorecard() -> None:
    shown = run("scorecard", "check", SHIPPED / "groups.yaml")
    assert shown.exit_code == 2
    assert "expected a scorecard" in shown.stderr


# backtest


@pytest.mark.parametrize("name", NAMES)
def test_the_live_version_back_tested_gives_every_customer_his_live_score(
    busy: Shop, name: str, tmp_path: Path
) -> None:
    each = tmp_path / "each.jsonl"
    command = ("scorecard", "backtest", SHIPPED / f"{name}.yaml", "--data", busy.data, "--each", each)
    told = answer(*command)
    assert told["changed"] == {"values": 0, "tiers": 0}
    rows = [json.loads(line) for line in each.read_text("utf-8").splitlines()]
    assert len(rows) == told["customers"] > 40
    headers = {"Authorization": f"Bearer {busy.agent}"}
    body = {"customers": [row["customer"] for row in rows], "scores": [name], "at": told["at"]}
    live = httpx.post(f"{busy.url}/v1/scores:batchGet", json=body, headers=headers, timeout=60).json()
    assert live["unknown"] == []
    assert {row["customer"]: row["after"] for row in rows} == {
        item["customer"]: item["scores"][name] for item in live["items"]
    }
    assert all(row["before"] == row["after"] for row in rows)


def test_a_candidate_says_who_moves_and_why(busy: Shop, tmp_path: Path) -> None:
    file = candidate(tmp_path, "weight: 10000", "weight: 30000")
    told = answer("scorecard", "backtest", file, "--data", busy.data)
    assert told["live"]["score"] == told["score"] == "loyalty"
    assert told["live"]["fingerprint"] != told["candidate"]["fingerprint"]
    assert len(told["winners"]) == 10
    explained = answer(
        "score",
        told["winners"][0]["customer"],
        "--name",
        "loyalty",
        *busy.asked_with("agent"),
        "--at",
        told["at"],
    )["scores"]["loyalty"]
    assert told["winners"][0]["before"] == explained
    assert [why["component"] for why in told["winners"][0]["reasons"]] == ["purchases"]
    shown = run("scorecard", "backtest", file, "--data", busy.data)
    assert shown.exit_code == 0
    assert f"{told['winners'][0]['customer']}\t{told['winners'][0]['value']:+}\t" in shown.stdout
    assert "\n\nwinners\tvalue\twas\tis\tbecause\n" in shown.stdout
    assert shown.stdout.partition("\nlosers\t")[2].count("\n") == 1 + len(told["losers"])
    assert shown.stdout.startswith("loyalty 1 beside loyalty 1: ")


def test_a_new_name_is_shown_alone_unless_it_is_told_what_to_be_compared_with(
    busy: Shop, tmp_path: Path
) -> None:
    file = candidate(tmp_path, name="affection")
    alone = answer("scorecard", "backtest", file, "--data", busy.data)
    assert (alone["score"], alone["live"]) == ("affection", None)
    assert "winners" not in alone
    compared = answer("scorecard", "backtest", file, "--data", busy.data, "--against", "loyalty")
    assert compared["live"]["score"] == "loyalty"
    assert compared["changed"] == {"values": 0, "tiers": 0}
    assert run("scorecard", "backtest", file, "--data", busy.data, "--against", "x").exit_code == 2


def test_a_back_test_is_of_the_day_asked_about(busy: Shop) -> None:
    file = SHIPPED / "loyalty.yaml"
    long_ago = answer("scorecard", "backtest", file, "--data", busy.data, "--at", "2020-01-01")
    assert long_ago["at"] == "2020-01-01"
    assert long_ago["after"]["tiers"]["new"] == long_ago["customers"]
    assert run("scorecard", "backtest", file, "--data", busy.data, "--at", "soon").exit_code == 2


def test_a_back_test_changes_nothing_and_leaves_a_file_that_is_there_alone(
    busy: Shop, tmp_path: Path
) -> None:
    before = answer("digest", "--data", busy.data)
    kept = tmp_path / "kept.jsonl"
    kept.write_text("mine")
    shown = run("scorecard", "backtest", SHIPPED / "trust.yaml", "--data", busy.data, "--each", kept)
    assert (shown.exit_code, kept.read_text()) == (2, "mine")
    answer("scorecard", "backtest", SHIPPED / "trust.yaml", "--data", busy.data)
    assert answer("digest", "--data", busy.data) == before


def test_a_back_test_needs_a_journal(tmp_path: Path) -> None:
    shown = run("scorecard", "backtest", SHIPPED / "trust.yaml", "--data", tmp_path / "none")
    assert shown.exit_code == 1
    assert not (tmp_path / "none").exists()


# sql


@pytest.mark.parametrize("name", ["loyalty", "churn_risk", "trust"])
def test_the_statement_run_over_the_projections_gives_every_customer_his_score(busy: Shop, name: str) -> None:
    file = SHIPPED / f"{name}.yaml"
    script = run("scorecard", "sql", file, "--tables", "--data", busy.data, "--at", TODAY).stdout
    statement = answer("scorecard", "sql", file, "--at", TODAY)["statement"]
    assert script.endswith(f"{statement};\n")
    projections = busy.data / (busy.data / "projections.current").read_text().strip()
    with closing(sqlite3.connect(f"file:{projections}?mode=ro", uri=True)) as database:
        database.execute("PRAGMA temp_store = MEMORY")
        database.executescript(script.removesuffix(f"{statement};\n"))
        rows = database.execute(statement).fetchall()
    body = {"customers": [row[0] for row in rows], "scores": [name], "at": TODAY}
    headers = {"Authorization": f"Bearer {busy.agent}"}
    live = httpx.post(f"{busy.url}/v1/scores:batchGet", json=body, headers=headers, timeout=60).json()
    told = {item["customer"]: of_sql(item["scores"][name]) for item in live["items"]}
    assert {row[0]: row[1:] for row in rows} == told
    assert len(rows) > 40


def of_sql(score: dict[str, Any]) -> tuple[Any, ...]:
    return score["milli_points"], score["value"], score["tier"], score["evidence"], *score["parts"].values()


def test_the_statement_is_said_for_clickhouse_too() -> None:
    shown = run("scorecard", "sql", SHIPPED / "churn_risk.yaml", "--dialect", "clickhouse")
    assert shown.exit_code == 0
    assert "intDiv(" in shown.stdout
    assert run("scorecard", "sql", SHIPPED / "churn_risk.yaml", "--dialect", "oracle").exit_code == 2
