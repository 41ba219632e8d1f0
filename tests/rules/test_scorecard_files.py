"""Scorecard files: what ships loads and gives its reasons; what is wrong is named by file and line."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from touchbook.components import Balance, Component
from touchbook.errors import ScorecardInvalid, ScorecardUnknown
from touchbook.scorecard import Scorecard, ScorecardSet
from touchbook.scorecard_files import load_scorecards, read_scorecards

SHIPPED = load_scorecards()

GROUPS = """\
looks:
  why: He looks around.
  signals: [page_view, product_view]
"""

CARD = """\
version: 1
title: {en: Trial, ru: Проба}
description:
  en: A trial.
  ru: Проба.
value:
  parts:
    doing: {share: 60, saturation: 1000}
    saying: {share: 40, saturation: 2000}
tiers:
  low: 0
  high: 50
hold_days: 7
min_evidence: 1
needs: {signal: purchase, within: 100}
limits:
  doing: {min: 0, max: 5000}
parts:
  doing:
    - id: bought
      why: He bought.
      signal: purchase
      weight: 1000
      half_life: 30
      cap: 2
    - id: looked
      why: He looked.
      signals: looks
      of: total
      unit: 60
      weight: 1000
      half_life: 30
      cap: 2
      min_age: 3
    - {id: start, kind: base, points: 10, why: A start.}
    - {id: tried, kind: first, signal: purchase, weight: -5, half_life: 9, why: Trying.}
    - {id: seen, kind: recency, signal: purchase, weight: 5, half_life: 9, why: Seen.}
    - {id: days, kind: active_days, signal: purchase, weight: 5, window: 30, max_days: 9, why: Days.}
    - {id: run, kind: streak, signal: purchase, weight: 5, period: 30, max_periods: 9, why: Run.}
    - id: late
      why: Late.
      kind: gap
      signal: purchase
      weight: 85000
      from: 1000
      full: 4000
      last: 12
      min_gaps: 3
      default_gap: 60
      floor_gap: 7
  saying:
    - id: said
      why: What he said.
      kind: balance
      swing: 50000
      prior: 4
      evidence:
        - signals: [csat_good, ces_easy]
          why: Good words.
          good: 4
          half_life: 90
          cap: 2
        - signal: csat_bad
          why: Bad words.
          bad: 4
          half_life: 90
          cap: 2
"""
KNOWN = {"purchase", "page_view", "product_view", "csat_good", "ces_easy", "csat_bad"}


def read(card: str = CARD, groups: str = GROUPS, known: set[str] | None = None) -> Scorecard:
    return read_scorecards({"trial.yaml": card, "groups.yaml": groups}, known)["trial"]


def refusal(card: str = CARD, groups: str = GROUPS, known: set[str] | None = None) -> ScorecardInvalid:
    with pytest.raises(ScorecardInvalid) as caught:
        read(card, groups, known)
    return caught.value


SHARES = CARD[CARD.index("  parts:") : CARD.index("tiers:")]
BOUGHT = "      weight: 1000\n      half_life: 30\n      cap: 2\n    - id: looked"
BAD = "          bad: 4\n          half_life: 90\n          cap: 2"

# what the rule is, the text that is replaced, by what, the beginning of the line named, words of the message
BROKEN = [
    ("no other keys", "hold_days: 7", "hold_day: 7", "hold_day:", "no `hold_day`"),
    ("no other keys in a component", BOUGHT, BOUGHT.replace("cap", "cup"), "      cup:", "no `cup`"),
    ("no key of another kind", "points: 10,", "points: 10, cap: 2,", "    - {id: start", "no `cap`"),
    ("no key twice", "hold_days: 7", "hold_days: 7\nhold_days: 8", "hold_days: 8", "twice"),
    ("only keys that are words", "hold_days: 7", "7: hold_days", "7:", "must be a word"),
    ("a known kind", "kind: gap", "kind: gaps", "      kind: gaps", "no kind of component"),
    ("a version", "version: 1\n", "", "title:", "needs `version`"),
    ("a whole version", "version: 1", "version: one", "version:", "whole number"),
    (
        "a whole number without a point",
        "weight: 85000",
        "weight: 85000.0",
        "      weight: 85000.0",
        "whole number",
    ),
    ("a whole number without quotes", "weight: 85000", "weight: '85000'", "      weight: '", "whole number"),
    ("no number in base eight", "weight: 85000", "weight: 085000", "      weight: 0", "whole number"),
    ("a title", "title: {en: Trial, ru: Проба}\n", "", "version", "needs `title`"),
    ("a title in both languages", "{en: Trial, ru: Проба}", "{en: Trial}", "title:", "needs `ru`"),
    ("no other language", "{en: Trial, ru: Проба}", "{en: T, ru: П, de: T}", "title:", "no `de`"),
    ("a description with words", "  en: A trial.", "  en: ''", "  en: ''", "must be text"),
    ("a value", "value:\n  parts:", "value:\n  partly:", "  partly:", "no `partly`"),
    ("one kind of value", "value:", "value:\n  saturating: 9", "  saturating", "must say one thing"),
    ("a linear value that rises", SHARES, "  linear: [9, 9]\n", "  linear", "rise"),
    ("a linear value of two numbers", SHARES, "  linear: [9]\n", "  linear", "2 whole"),
    ("a positive saturation", SHARES, "  saturating: 0\n", "  saturating", "from 1"),
    ("shares that add up", "share: 60", "share: 61", "  parts:", "add up to 100, not 101"),
    (
        "a share of every part",
        "    saying: {share: 40, saturation: 2000}\n",
        "",
        "    doing:",
        "needs `saying`",
    ),
    ("shares of parts that exist", "    saying: {", "    singing: {", "    singing:", "no part 'singing'"),
    ("limits of parts that exist", "  doing: {min", "  dong: {min", "  dong:", "no part 'dong'"),
    ("limits in order", "{min: 0, max: 5000}", "{min: 0, max: -1}", "  doing: {min", "must not be above"),
    ("limits that limit", "{min: 0, max: 5000}", "{}", "  doing: {}", "`min`, `max` or both"),
    ("a lowest tier at 0", "  low: 0", "  low: 1", "  low:", "begins at 0"),
    ("tiers that ascend", "  high: 50", "  high: 0", "  high:", "must ascend"),
    ("tiers within the value", "  high: 50", "  high: 101", "  high:", "from 0 to 100"),
    ("tiers with plain names", "  high: 50", "  High up: 50", "  High up:", "not a name"),
    ("hold_days not below 0", "hold_days: 7", "hold_days: -7", "hold_days:", "from 0"),
    ("evidence above 0", "min_evidence: 1", "min_evidence: 0", "min_evidence:", "from 1"),
    (
        "needs with a reach",
        "{signal: purchase, within: 100}",
        "{signal: purchase}",
        "needs:",
        "needs `within`",
    ),
    ("parts", CARD[CARD.index("parts:\n  doing:\n") :], "parts: {}\n", "parts:", "must not be empty"),
    (
        "parts with components",
        CARD[CARD.index("  saying:\n") :],
        "  saying: []\n",
        "  saying:",
        "must be a list",
    ),
    ("an id", "    - id: bought\n      why", "    - why", "    - why", "needs `id`"),
    ("an id once in a part", "id: looked", "id: bought", "    - id: bought", "is taken"),
    ("no component called limit", "id: looked", "id: limit", "    - id: limit", "is taken"),
    ("a reason for each line", "      why: He bought.\n", "", "    - id: bought", "needs `why`"),
    ("a reason with words", "why: He bought.", "why:", "      why:", "must be text"),
    (
        "a reason for each evidence",
        "          why: Bad words.\n",
        "",
        "        - signal: csat_bad",
        "needs `why`",
    ),
    (
        "a signal",
        "      signal: purchase\n      weight: 1000",
        "      weight: 1000",
        "    - id: bought",
        "either `signal`",
    ),
    (
        "not signal and signals",
        "      signals: looks",
        "      signals: looks\n      signal: x",
        "    - id: looked",
        "either",
    ),
    (
        "a group that exists",
        "signals: looks",
        "signals: glances",
        "      signals: glances",
        "no group 'glances'",
    ),
    ("a signal once in a list", "ces_easy]", "csat_good]", "        - signals:", "twice"),
    ("a daily cap", BOUGHT, BOUGHT.replace("      cap: 2\n", ""), "    - id: bought", "needs `cap`"),
    (
        "a daily cap of evidence",
        BAD,
        BAD.replace("          cap: 2", ""),
        "        - signal: csat_bad",
        "needs `cap`",
    ),
    ("a positive half-life", BOUGHT, BOUGHT.replace("30", "0"), "      half_life: 0", "from 1"),
    ("a weight that says something", "weight: 85000", "weight: 0", "      weight: 0", "says nothing"),
    (
        "products within 64 bits",
        BOUGHT,
        BOUGHT.replace("cap: 2", "cap: 5000000000"),
        "    - id: bought",
        "64 bits",
    ),
    ("a balance within 64 bits", "swing: 50000", "swing: 1000000000000", "    - id: said", "64 bits"),
    ("a positive prior", "prior: 4", "prior: 0", "      prior: 0", "from 1"),
    (
        "evidence in a balance",
        CARD[CARD.index("      evidence:") :],
        "",
        "    - id: said",
        "needs `evidence`",
    ),
    (
        "evidence on one side",
        "          bad: 4",
        "          bad: 4\n          good: 4",
        "        - signal: csat_bad",
        "one of good, bad",
    ),
    ("evidence on a side", "          bad: 4\n", "", "        - signal: csat_bad", "one of good, bad"),
    ("count or total", "of: total", "of: money", "      of: money", "count or total"),
    ("a unit for a total", "      unit: 60\n", "", "    - id: looked", "needs `unit`"),
    ("no unit without a total", "      of: total\n", "", "      unit: 60", "divides a total"),
    ("a gap that grows", "full: 4000", "full: 1000", "      full: 1000", "above `from`"),
    ("a rhythm that can be known", "min_gaps: 3", "min_gaps: 13", "      min_gaps: 13", "never be reached"),
    ("YAML", "tiers:\n", "tiers: [\n", "  high", "not YAML"),
]


@pytest.mark.parametrize(
    ("old", "new", "line", "words"), [case[1:] for case in BROKEN], ids=[c[0] for c in BROKEN]
)
def test_a_broken_rule_is_named_with_file_and_line(old: str, new: str, line: str, words: str) -> None:
    assert CARD.count(old) >= 1
    text = CARD.replace(old, new, 1)
    error = refusal(text)
    assert str(error).startswith(f"trial.yaml, line {error.line}: ")
    assert words in str(error)
    assert text.splitlines()[error.line - 1].startswith(line)


def test_the_unbroken_file_loads() -> None:
    assert read(known=KNOWN).name == "trial"


def test_a_signal_that_no_touchpoint_gives_is_refused_where_it_is_known_which_there_are() -> None:
    error = refusal(known=KNOWN - {"csat_bad"})
    assert CARD.splitlines()[error.line - 1] == "        - signal: csat_bad"
    assert "'csat_bad'" in str(error)


def test_an_unknown_signal_is_found_on_its_own_line_of_a_list() -> None:
    text = CARD.replace("[csat_good, ces_easy]", "\n            - csat_good\n            - ces_easyy")
    error = refusal(text, known=KNOWN)
    assert text.splitlines()[error.line - 1] == "            - ces_easyy"


def test_an_unknown_signal_of_a_group_is_found_in_the_file_of_groups() -> None:
    error = refusal(known=KNOWN - {"product_view"})
    assert str(error).startswith("groups.yaml, line 3: group 'looks'")


def test_the_signal_that_a_value_needs_must_be_known_too() -> None:
    error = refusal(CARD.replace("{signal: purchase, within", "{signal: buy, within"), known=KNOWN)
    assert CARD.splitlines()[error.line - 1].startswith("needs:")


@pytest.mark.parametrize("signal", ["interest:shoes", "via:email", "spend:EUR", "refund:EUR"])
def test_signals_by_category_channel_and_currency_are_always_known(signal: str) -> None:
    card = read(CARD.replace("signal: csat_bad", f"signal: '{signal}'"), known=KNOWN)
    assert signal in card.signals


@pytest.mark.parametrize(
    ("groups", "line", "words"),
    [
        ("looks:\n  signals: [page_view]\n", 2, "needs `why`"),
        ("looks:\n  why: He looks.\n  signals: []\n", 3, "must be a list"),
        ("looks:\n  why: He looks.\n  signals: [page_view, page_view]\n", 3, "twice"),
        ("looks:\n  why: He looks.\n  signal: page_view\n", 3, "no `signal`"),
    ],
)
def test_a_broken_group_is_named_with_its_line(groups: str, line: int, words: str) -> None:
    error = refusal(groups=groups)
    assert str(error).startswith(f"groups.yaml, line {line}: ")
    assert words in str(error)


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a list\n", "a word\n", "\x00"])
def test_a_file_that_is_no_mapping_is_refused(text: str) -> None:
    assert refusal(text).line == 1


def test_evidence_can_only_be_asked_where_something_is_weighed() -> None:
    text = CARD[: CARD.rindex("  saying:")]
    text = text.replace("needs: {signal: purchase, within: 100}\n", "")
    text = text.replace("    saying: {share: 40, saturation: 2000}\n", "").replace("share: 60", "share: 100")
    error = refusal(text)
    assert text.splitlines()[error.line - 1] == "min_evidence: 1"


def test_a_score_is_called_after_its_file() -> None:
    with pytest.raises(ScorecardInvalid, match=r"^My Score\.yaml, line 1: .*named after the score"):
        read_scorecards({"My Score.yaml": CARD, "groups.yaml": GROUPS})


def test_a_company_loads_scorecards_from_its_own_directory(tmp_path: Path) -> None:
    (tmp_path / "trial.yaml").write_text(CARD, "utf-8")
    (tmp_path / "groups.yaml").write_text(GROUPS, "utf-8")
    (tmp_path / "notes.txt").write_text("not a scorecard", "utf-8")
    assert list(load_scorecards(tmp_path)) == ["trial"]


# What ships -------------------------------------------------------------------------------------------------


def components_of(cards: ScorecardSet) -> list[Component]:
    return [component for card in cards.values() for part in card.parts for component in part.components]


def test_seven_scorecards_ship() -> None:
    assert set(SHIPPED) == {
        "loyalty", "emotional_loyalty", "trust", "engagement", "satisfaction", "churn_risk", "fatigue",
    }  # fmt: skip


def test_every_line_that_ships_has_its_reason_in_a_sentence() -> None:
    for component in components_of(SHIPPED):
        lines = component.evidence if isinstance(component, Balance) else ()
        for why in [component.why, *(line.why for line in lines)]:
            assert why.endswith((".", "...")), why


def test_only_signals_of_the_worked_histories_or_named_in_the_files_are_read() -> None:
    known = {signal for card in SHIPPED.values() for signal in card.signals}
    assert load_scorecards(known_signals=known) == SHIPPED
    with pytest.raises(ScorecardInvalid, match="'purchase'"):
        load_scorecards(known_signals=known - {"purchase"})


def test_the_description_tells_every_line_with_its_reason_and_numbers() -> None:
    told = SHIPPED["trust"].describe()
    dealings = told["parts"][0]["components"][1]
    assert (told["name"], told["title"], told["min_evidence"]) == (
        "trust",
        {"en": "Trust", "ru": "Доверие"},
        1,
    )
    assert dealings["evidence"][0] == {
        "why": "Each kept promise is a proof.",
        "signals": ["promise_kept"],
        "good": 4,
        "half_life": 180,
        "cap": 3,
    }
    assert all(line["why"] for part in told["parts"] for line in part["components"])


@pytest.mark.parametrize(
    ("old", "new"),
    [("cap: 2", "cap: 3"), ("He bought.", "He did."), ("version: 1", "version: 2"), ("high: 50", "high: 51")],
)
def test_the_fingerprint_changes_with_anything_a_scorecard_says(old: str, new: str) -> None:
    def together(card: str) -> Any:
        return read_scorecards({"trial.yaml": card, "groups.yaml": GROUPS}).fingerprint

    assert together(CARD) == together(CARD + "# a remark\n") != together(CARD.replace(old, new, 1))


def test_a_score_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(ScorecardUnknown, match=r"'luck'; there are: churn_risk, .*trust"):
        SHIPPED.named("luck")
    assert SHIPPED.named("trust") is SHIPPED["trust"]


def test_the_files_are_laid_out_for_reading() -> None:
    for file in (resources.files("touchbook") / "scorecards").iterdir():
        text = file.read_text("utf-8")
        assert max(map(len, text.splitlines())) <= 115, file.name
        assert yaml.safe_load(text), file.name
