"""How a customer stands, and why: everything told is what the scorecard gives."""

from __future__ import annotations

import html
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from tests.api.serving import Server
from tests.books import NOON, TODAY, a_book, event, folded, publish
from tests.desk.pages import part_of, words_of
from tests.desk.signed import a_server, signed_in, with_marta
from touchbook.api.desk.drawing import chart_of, spark_of
from touchbook.api.desk.score_words import (
    COMPONENTS,
    MENDS,
    PARTS,
    REPAIRS,
    SIGNALS,
    TIERS,
    Said,
    counted,
    line_words,
    part_words,
    signal_words,
    tier_of,
)
from touchbook.api.desk.scores import in_order, points_of, rows_of
from touchbook.api.desk.words import Words
from touchbook.ledger import Ledger
from touchbook.projections.series import DAYS, lines, lines_of
from touchbook.projections.situation import situation_of
from touchbook.projections.supposing import Supposed, suppose
from touchbook.schemas.catalogue import Catalogue
from touchbook.schemas.display import LANGUAGES, Language
from touchbook.scorecard_files import load_scorecards
from touchbook.scoring import score_all, values_on
from touchbook.wiring import now

pytestmark = pytest.mark.usefixtures("wednesday")

CATALOGUE = Catalogue()
CARDS = load_scorecards(None, CATALOGUE.signals)
WORDS: dict[Language, Words] = {one: Words(one, ZoneInfo("UTC")) for one in LANGUAGES}
CYRILLIC = re.compile("[а-яё]", re.IGNORECASE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with with_marta(tmp_path_factory.mktemp("scores") / "book") as running:
        yield running


@pytest.fixture(scope="module")
def marta(server: Server) -> str:
    return server.book.customers.find("user_id:84213").id


@pytest.fixture(scope="module")
def agent(server: Server) -> httpx.Client:
    return signed_in(server, **{"HX-Request": "true"})


def why(agent: httpx.Client, customer: str, score: str) -> str:
    answer = agent.get(f"/desk/customers/{customer}/scores/{score}")
    assert answer.status_code == 200, answer.text
    return answer.text


def rows_in(markup: str) -> dict[str, str]:
    """What each line of the table says: its words → its points."""
    found = {}
    for row in re.findall(r"<tr\b.*?</tr>", markup, flags=re.DOTALL):
        if cell := re.search(r'<td class="n"[^>]*>(.*?)</td>', row, flags=re.DOTALL):
            label = re.search(r"<th\b.*?</th>", row, flags=re.DOTALL)
            assert label is not None
            found[words_of(label[0])] = words_of(cell[0])
    return found


# Words


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_signal_of_the_catalogue_and_of_the_scorecards_has_words_one_and_many(
    language: Language,
) -> None:
    signals = {name + "lamps" if name.endswith(":") else name for name in CATALOGUE.signals} | CARDS.signals
    for signal in signals:
        for n in (1, 2, 5, 21):
            said = signal_words(signal, language, n)
            assert said, signal
            assert not set(said) & set("_{}|–"), (signal, said)
            assert (language == "en") != bool(CYRILLIC.search(said)), (signal, said)
            assert n == 1 or str(n) in said, (signal, said)


def test_nothing_is_put_into_words_that_nobody_gives() -> None:
    assert SIGNALS.keys() <= CATALOGUE.signals | CARDS.signals | {"via:"}
    assert {*MENDS, *REPAIRS, *(with_ for with_, _ in REPAIRS.values())} <= CARDS.signals
    assert {(card.name, part.name) for card in CARDS.values() for part in card.parts} == PARTS.keys()
    ids = {(card.name, one.id) for card in CARDS.values() for part in card.parts for one in part.components}
    assert COMPONENTS.keys() <= ids


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_tier_part_and_line_of_the_shipped_scorecards_has_words(language: Language) -> None:
    for card in CARDS.values():
        assert [name for name, _ in card.tiers] == list(TIERS[card.name])
        for name, _ in card.tiers:
            assert (language == "ru") == bool(CYRILLIC.search(tier_of(card.name, name).said.in_(language)))
        for part in card.parts:
            assert "_" not in part_words(card.name, part.name, language)
            for one in part.components:
                said = line_words(card.name, one.id, one.kind, language, 3)
                assert said is None or "_" not in said
                assert said is not None or one.signals


def test_russian_numbers_take_their_three_forms() -> None:
    kept = [signal_words("promise_kept", "ru", n) for n in (1, 2, 5, 11, 21)]
    assert kept == [
        "Обещание сдержано", "2 обещания сдержано", "5 обещаний сдержано", "11 обещаний сдержано",
        "21 обещание сдержано",
    ]  # fmt: skip
    assert counted(Said("hour|hours", "час|часа|часов"), "en", 2) == "2 hours"


def test_what_a_companys_own_scorecard_calls_its_things_is_shown_as_it_stands() -> None:
    tier = tier_of("delight", "over_the_moon")
    assert (tier.tone, tier.said.in_("ru")) == ("mid", "over the moon")
    assert part_words("delight", "first_days", "en") == "First days"
    assert signal_words("gift_wrapped", "en", 2) == "Gift wrapped ×2"


# Why


@pytest.mark.parametrize("score", list(CARDS))
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_lines_of_a_why_add_up_to_the_score_exactly(
    server: Server, marta: str, score: str, language: Language
) -> None:
    customers = server.book.customers
    told = customers.explain(customers.find(marta), score, now() // 86_400_000)

    rows = rows_of(CARDS[score], told["contributions"], now() // 86_400_000, WORDS[language])

    assert sum(row.milli for row in rows) == told["score"]["milli_points"]
    assert len({row.label for row in rows}) == len(rows), [row.label for row in rows]
    harm = [row.milli if score in ("churn_risk", "fatigue") else -row.milli for row in rows if not row.base]
    assert harm == sorted(harm, reverse=True), "what harms most stands first"
    behind = {key for line in told["contributions"] if line["milli_points"] for key in line["touchpoints"]}
    assert behind <= {key for row in rows for key in row.keys}


def test_a_line_of_another_year_says_which() -> None:
    line: dict[str, Any] = {
        "part": "record", "component": "dealings", "signal": "complaint", "day": "2024-11-05", "count": 1,
        "total": 0, "milli_points": -900, "touchpoints": ["a"],
    }  # fmt: skip
    for day, said in ((TODAY, "Complaint, 5 Nov 2024"), (19_700 + 330, "Complaint, 5 Nov")):
        assert [row.label for row in rows_of(CARDS["trust"], [line], day, WORDS["en"])] == [said]


def test_trust_says_what_was_broken_and_what_was_kept(agent: httpx.Client, marta: str) -> None:
    rows = rows_in(why(agent, marta, "trust"))

    assert rows["Starts in the middle"] == "50.0"
    ignored, kept = rows["3 requests ignored"], rows["11 promises kept"]
    assert (ignored[0], kept[0]) == ("−", "+")
    (broken,) = [label for label in rows if label.startswith("Promise broken, ")]
    assert float(rows[broken].replace("−", "-")) > float(ignored.replace("−", "-"))
    assert rows["Trust"] == rows_in(why(agent, marta, "trust"))["Trust"]


def test_where_parts_saturate_by_themselves_each_says_what_it_comes_to(
    agent: httpx.Client, marta: str
) -> None:
    rows = rows_in(why(agent, marta, "loyalty"))
    assert re.fullmatch(r"\d+ of 60", rows["Comes back"])
    assert "Recommends" not in rows, "nothing of it was ever counted"
    assert rows["Loyalty"] == rows["Comes back"].split()[0]


def test_each_line_opens_the_touchpoints_behind_it(server: Server, agent: httpx.Client, marta: str) -> None:
    customers = server.book.customers
    told = customers.explain(customers.find(marta), "trust", now() // 86_400_000)
    behind = {key for line in told["contributions"] for key in line["touchpoints"]}
    links = re.findall(r'<a href="#tp-([0-9a-f]+)" data-show="([^"]*)"', why(agent, marta, "trust"))

    assert {key for _, keys in links for key in keys.split()} == behind
    assert all(first == keys.split()[0] for first, keys in links)


def test_the_timelines_margin_gets_the_points_of_each_touchpoint(agent: httpx.Client, marta: str) -> None:
    found = re.search(r'data-points="([^"]*)"', why(agent, marta, "trust"))
    assert found is not None
    points = json.loads(html.unescape(found[1]))
    assert all(good == text.startswith("+") == (milli > 0) for milli, text, good in points.values())
    assert any(not good for *_, good in points.values())


def test_points_of_a_day_are_shared_between_its_touchpoints_and_less_may_be_better() -> None:
    line: dict[str, Any] = {"milli_points": 4000, "touchpoints": ["a", "b"]}
    shared = json.loads(points_of([line, {"milli_points": 20, "touchpoints": ["c"]}], True, WORDS["en"]))
    assert shared == {"a": [2000, "+2.0", False], "b": [2000, "+2.0", False]}


def test_the_counterfactuals_are_those_of_the_api(server: Server, agent: httpx.Client, marta: str) -> None:
    markup = why(agent, marta, "trust")
    (asked, key) = next(
        (link, keys)
        for keys, link in re.findall(r'data-show="([^"]*)" data-if="([^"]*)"', markup)
        if link.endswith(".complaint")
    )
    answer = agent.get(html.unescape(asked))
    path = f"/v1/customers/{marta}/scores/trust/explain"
    without = server.get(path, params={"without": key}).json()["without"]["score"]["value"]
    repaired = server.get(path, params={"with": "complaint_resolved"}).json()["with"]["score"]["value"]

    assert words_of(answer.text) == f"without it {without} if resolved {repaired}"
    assert repaired > without > server.get(path).json()["score"]["value"]
    alone = agent.get(f"/desk/customers/{marta}/scores/trust/without/{key}")
    added = agent.get(f"/desk/customers/{marta}/scores/trust/with/complaint_resolved")
    assert (words_of(alone.text), words_of(added.text)) == (
        f"without it {without}", f"with: complaint settled {repaired}",
    )  # fmt: skip


def test_a_line_of_several_touchpoints_is_asked_without_all_of_them(
    server: Server, agent: httpx.Client, marta: str
) -> None:
    customers = server.book.customers
    markup = why(agent, marta, "trust")
    (keys, asked) = next(
        (keys.split(), link)
        for keys, link in re.findall(r'data-show="([^"]*)" data-if="([^"]*)"', markup)
        if link.endswith(".request_ignored")
    )
    (expected,) = suppose(
        customers, customers.find(marta), "trust", now() // 86_400_000, [Supposed(frozenset(keys))]
    )

    told = words_of(agent.get(html.unescape(asked)).text)

    assert told.startswith(f"without these 3 {expected.value} ")


@pytest.mark.parametrize("score", list(CARDS))
def test_what_would_mend_it_is_computed_and_helps(
    server: Server, agent: httpx.Client, marta: str, score: str
) -> None:
    value = server.get(f"/v1/customers/{marta}/scores").json()["scores"][score]["value"]
    markup = why(agent, marta, score)
    mends = re.findall(r'<span>([^<]*)</span><b>([^<]*)</b><span class="to">(\d+)</span>', markup)

    assert 0 < len(mends) <= 4
    better = -1 if score in ("churn_risk", "fatigue") else 1
    for label, gain, to in mends:
        assert int(to) == value + int(gain.replace("−", "-")), label
        assert better * (int(to) - value) > 0, label


def test_what_is_owed_is_proposed_first(server: Server, agent: httpx.Client, marta: str) -> None:
    markup = why(agent, marta, "trust")
    mends = dict(re.findall(r'<span>([^<]*)</span><b>[^<]*</b><span class="to">(\d+)</span>', markup))
    path = f"/v1/customers/{marta}/scores/trust/explain"
    resolved = server.get(path, params={"with": "complaint_resolved"}).json()["with"]["score"]["value"]
    kept = server.get(path, params={"with": "promise_kept"}).json()["with"]["score"]["value"]

    first, second, third = list(mends)[:3]
    assert (first, second) == ("Resolve the complaint", "and close the case")
    assert third in ("Keep tomorrow’s promise", "Keep today’s promise")
    assert (int(mends[first]), int(mends[third])) == (resolved, kept)


def test_nobody_proposes_to_resolve_a_complaint_that_is_settled(tmp_path: Path) -> None:
    with a_server(tmp_path / "book") as server:
        data = {"text": "It never came."}
        at = now() - 86_400_000
        said(server, _just("complaint_raised", data, at), _just("complaint_resolved", {}, at + 1000))
        id = server.book.customers.find("user_id:ann").id
        markup = why(signed_in(server, **{"HX-Request": "true"}), id, "trust")
    assert "Complaint settled" in words_of(markup)
    assert "Resolve the complaint" not in markup


def said(server: Server, *events: dict[str, Any]) -> None:
    assert {one.outcome for one in publish(server.book, events, received_at=now())} == {"accepted"}
    server.settle()


def _just(type: str, data: dict[str, Any], at: int, **more: Any) -> dict[str, Any]:
    days_ago = (NOON - at) / 86_400_000
    return event(type, data, days_ago=days_ago, id=f"{type}-{at}", **more)


def test_a_score_not_known_yet_shows_no_gauge_and_says_what_is_missing(tmp_path: Path) -> None:
    with a_server(tmp_path / "book") as server:
        said(server, _just("page_viewed", {"name": "Home"}, now() - 60_000))
        id = server.book.customers.find("user_id:ann").id
        agent = signed_in(server, **{"HX-Request": "true"})
        markup = agent.get(f"/desk/customers/{id}/scores").text
        churn = part_of(markup, "score-churn_risk")
        trust = part_of(markup, "score-trust")
        reasons = words_of(why(agent, id, "trust"))

    assert words_of(trust).startswith("Trust not known yet evidence: 0 of 1")
    assert "not known yet needs: purchase" in words_of(churn)
    assert 'class="gauge"' not in trust + churn
    assert "Not known yet; evidence: 0 of 1." in reasons
    assert 'class="gauge"' in part_of(markup, "score-engagement")


def test_gauges_stand_in_their_order_with_gaps_at_the_thresholds(agent: httpx.Client, marta: str) -> None:
    markup = agent.get(f"/desk/customers/{marta}/scores").text
    assert re.findall(r'data-score="(\w+)"', markup) == in_order(CARDS)
    for card in CARDS.values():
        gauge = part_of(markup, f"score-{card.name}")
        assert [int(at) for at in re.findall(r'd="M(\d+) 0v8"', gauge)] == [at for _, at in card.tiers if at]
    fatigue = part_of(markup, "score-fatigue")
    assert 'class="next near">1 to tired<' in fatigue, "two points or less are marked"
    assert "less is better" in fatigue


def test_an_unknown_score_line_or_touchpoint_is_told_so(agent: httpx.Client, marta: str) -> None:
    at = f"/desk/customers/{marta}/scores"
    paths = (f"{at}/charm", f"{at}/trust/if?line=record.dealings.never", f"{at}/trust/without/{'0' * 32}")
    for path in paths:
        assert agent.get(path).status_code == 404, path
    assert agent.get(f"{at}/trust/with/charm").status_code == 400


# Lines


def a_ledger(seed: int, days: int = 200) -> Ledger:
    made = random.Random(seed)
    names = sorted(CARDS.signals)
    return {
        (made.choice(names), TODAY - made.randrange(days)): (made.randrange(1, 4), made.randrange(600))
        for _ in range(300)
    }


@pytest.mark.parametrize("seed", range(3))
def test_a_line_shows_what_each_day_gave(seed: int) -> None:
    ledger = a_ledger(seed)
    days = range(TODAY - 20, TODAY + 1)
    expected = [
        {name: score.value for name, score in score_all(ledger, CARDS.values(), day).items()} for day in days
    ]
    assert values_on(ledger, CARDS, days) == expected


@pytest.mark.parametrize("seed", range(3))
def test_a_line_that_goes_on_from_an_earlier_one_is_the_line_drawn_anew(seed: int) -> None:
    ledger = a_ledger(seed)
    known = lines(ledger, CARDS, TODAY - 2)
    late = {**ledger, ("complaint", TODAY - 30): (1, 0), ("purchase", TODAY): (1, 0)}
    assert lines(late, CARDS, TODAY, known=known) == lines(late, CARDS, TODAY)
    without = {row: counted for row, counted in late.items() if row != ("purchase", TODAY)}
    assert lines(without, CARDS, TODAY, known=lines(late, CARDS, TODAY)) == lines(without, CARDS, TODAY)


def test_days_before_what_is_new_are_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = a_ledger(1)
    known = lines(ledger, CARDS, TODAY)
    asked: list[int] = []

    def counting(ledger: Ledger, cards: Any, days: Any) -> list[dict[str, int | None]]:
        asked.extend(days)
        return values_on(ledger, cards, days)

    monkeypatch.setattr("touchbook.projections.series.values_on", counting)
    lines({**ledger, ("complaint", TODAY - 1): (1, 0)}, CARDS, TODAY, known=known)
    assert asked == [TODAY - 1, TODAY]


def test_a_late_touchpoint_bends_the_line_where_it_happened_and_an_erasure_forgets_it(tmp_path: Path) -> None:
    with a_book(tmp_path / "book") as book:
        publish(book, [event("promise_kept", {"promise_id": "p"}, days_ago=60)])
        folded(book)
        before = lines_of(book.customers, book.customers.find("user_id:ann"), TODAY).of("trust")
        publish(book, [event("promise_broken", {"promise_id": "q"}, days_ago=30)])
        folded(book)
        after = lines_of(book.customers, book.customers.find("user_id:ann"), TODAY).of("trust")

        assert len(after) == DAYS
        assert after[:-31] == before[:-31]
        bent = list(zip(before[-31:], after[-31:], strict=True))
        assert all(one is not None and other is not None and other < one for one, other in bent)
        customer = book.customers.find("user_id:ann")
        situation = situation_of(book.customers, customer, TODAY)
        assert situation_of(book.customers, customer, TODAY) is situation
        book.customers.forget()
        assert situation_of(book.customers, customer, TODAY) is not situation
        assert book.customers.lately.get(("lines", book.customers.find("user_id:ann").membership)) is None


def test_the_lines_come_after_the_page_and_know_how_long_a_score_is_known(
    agent: httpx.Client, marta: str
) -> None:
    page = agent.get(f"/desk/customers/{marta}/scores").text
    assert "<polyline" not in page
    drawn = agent.get(f"/desk/customers/{marta}/lines").text
    assert re.findall(r'id="spark-(\w+)"', drawn) == in_order(CARDS)
    assert re.search(r'aria-label="Trust over 90 days: from 7\d to 36"', drawn)
    assert re.search(r'aria-label="Satisfaction: known for 1\d days, from \d+ to 26"', drawn)


def test_the_chart_marks_the_largest_change_and_the_thresholds_in_sight() -> None:
    values = [72] * 60 + [55] + [54] * 20 + [36] * 9
    tiers = [("broken", 0), ("doubtful", 30), ("neutral", 45), ("trusting", 60), ("firm", 75)]
    asked: list[tuple[int, bool]] = []

    def event(at: int, fell: bool) -> str:
        asked.append((at, fell))
        return "2 Nov"

    chart = chart_of("Trust", values, tiers, event, WORDS["en"])

    assert chart is not None
    assert asked == [(81, True)]
    assert chart.event is not None
    assert chart.event.at == pytest.approx(81 / 89 * chart.width, abs=0.1)
    assert [mark.words for mark in chart.thresholds] == [
        "firm 75",
        "trusting 60",
        "neutral 45",
        "doubtful 30",
    ]
    assert chart.label.endswith("the largest change on 2 Nov")
    assert chart.end[0] == chart.width


def test_a_quiet_line_marks_nothing_and_an_unknown_one_is_not_drawn() -> None:
    quiet = chart_of("Trust", [50, 51] * 45, [("low", 0), ("high", 60)], lambda at, fell: "", WORDS["en"])
    assert quiet is not None
    assert quiet.event is None
    assert chart_of("Trust", [None] * 90, [("low", 0)], lambda at, fell: "", WORDS["en"]) is None
    assert spark_of("Trust", [None] * 90, WORDS["en"]) is None
    assert spark_of("Trust", [40, 42, None], WORDS["en"]) is None  # not known any more
    broken = spark_of("Trust", [None, 40, 42, None, None, 60, 61], WORDS["ru"])
    assert broken is not None
    assert len(broken.runs) == 2
    assert "известно 4 дня" in broken.label
