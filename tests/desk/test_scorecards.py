"""The scorecards page: what each score is made of, and a candidate checked and tried on every customer."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import partial
from zoneinfo import ZoneInfo

import httpx
import pytest

from tests.api.conftest import Serve
from tests.api.serving import Server
from tests.desk.acting import acting, happened, recorded, words_of
from tests.desk.signed import a_server
from touchbook.api.desk import scorecards as page
from touchbook.api.desk.scorecard_words import WHYS, limits_words, lines_of, value_words
from touchbook.api.desk.scorecards import Abandoned, BackTests, Texts, TookTooLong, candidate_of
from touchbook.api.desk.words import Words
from touchbook.errors import ScorecardInvalid
from touchbook.ledger import day_of
from touchbook.projections.backtest import back_test
from touchbook.scorecard_files import load_scorecards
from touchbook.wiring import now

pytestmark = pytest.mark.usefixtures("wednesday")

EN, RU = Words("en", ZoneInfo("UTC")), Words("ru", ZoneInfo("UTC"))
CARDS = load_scorecards()
SCRIPT = "<script>alert(1)</script>"
BACK_TEST = "/desk/scorecards/backtest"
SECONDS = 30


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("scorecards")) as running:
        recorded(
            running,
            happened("identified", "1", 200, traits={"name": f"Mallory {SCRIPT}"}),
            *(
                happened("order_placed", str(who), days, order_id=f"{who}-{days}", total=100, currency="EUR")
                for who in range(1, 6)
                for days in range(5, 5 + 30 * who, 30)
            ),
            happened("survey_answered", "9", 3, nps=10),
        )
        running.book.watch.look()
        yield running


@pytest.fixture(scope="module")
def agent(server: Server) -> Iterator[httpx.Client]:
    with acting(server) as client:
        yield client


def live_text(server: Server, name: str) -> str:
    text = Texts(server.book).of(name)
    assert text is not None
    return text


def told(answer: httpx.Response) -> str:
    """The last piece of a page that a stream brought, or the one piece of an answer."""
    assert answer.status_code == 200, answer.text
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return answer.text
    last = answer.text.replace("\r", "").strip().split("\n\n")[-1]
    return "\n".join(line.removeprefix("data: ") for line in last.split("\n") if line.startswith("data:"))


def tried(client: httpx.Client, text: str, beside: str = "loyalty", **headers: str) -> str:
    return told(client.post(BACK_TEST, data={"beside": beside, "text": text}, headers=headers))


# What each is made of


@pytest.mark.parametrize("name", list(CARDS))
def test_every_line_of_every_score_stands_on_its_page_with_its_reason_in_both_languages(
    agent: httpx.Client, name: str
) -> None:
    card = CARDS[name]
    for language, words in (("en", EN), ("ru", RU)):
        headers = {"Accept-Language": language}
        shown = agent.get(f"/desk/scorecards?score={name}", headers=headers).text
        text = words_of(shown)
        assert card.description[language] in text
        for part in card.parts:
            assert limits_words(part, words) in text
            for line in lines_of(part, words):
                assert line.why in text
                assert words_of(line.rule) in text
                assert words_of(line.points) in text
                assert all(f">{signal}</code>" in shown for signal in line.signals)
        for at in (str(least) for _, least in card.tiers):
            assert f"<b>{at}–" in shown


def test_every_shipped_reason_has_a_russian_one_and_none_is_left_over() -> None:
    reasons = set()
    for card in CARDS.values():
        for part in card.describe()["parts"]:
            for line in part["components"]:
                reasons |= {line["why"], *(one["why"] for one in line.get("evidence", ()))}
    assert reasons == set(WHYS)


def lines(name: str, words: Words) -> dict[str, tuple[str, str]]:
    return {
        line.id: (line.points, line.rule)
        for part in CARDS[name].parts
        for line in lines_of(part, words)
        if not line.within
    }


def test_how_each_kind_of_line_counts_is_said_in_words() -> None:
    assert lines("loyalty", EN)["purchases"] == ("+10", "For each, half after 180 days, at most 1 a day")
    assert lines("loyalty", EN)["first_purchase"] == ("−7", "For the first day, half after 180 days")
    assert lines("loyalty", EN)["own_days"] == ("+0.3", "For each day of the last 90, at most 30 days")
    assert lines("loyalty", EN)["purchase_streak"] == (
        "+3",
        "For each 30 days in a row after the first, at most 6 times",
    )
    assert lines("trust", EN)["start"] == ("+50", "Everybody starts with it")
    assert lines("trust", EN)["dealings"] == ("±50", "Good against bad, the middle weighs 30 from the start")
    assert lines("engagement", EN)["minutes"][1].startswith("For each minute, half after 30 days")
    assert lines("fatigue", EN)["unanswered"][1].endswith("begins to count after 3 days")
    assert lines("churn_risk", EN)["overdue"] == (
        "+85",
        "Grows while he is silent from 1 to 4 times as long as usual, usual is 60 days until 3 pauses are known",
    )
    weighed = [line for line in lines_of(CARDS["trust"].parts[0], EN) if line.within]
    assert (weighed[0].points, weighed[0].side) == ("4 for", "plus")
    assert (weighed[1].points, weighed[1].side) == ("20 against", "minus")
    middling = [line.points for line in lines_of(CARDS["satisfaction"].parts[0], EN) if line.within]
    assert "4 to the middle" in middling


def test_the_same_in_russian_with_its_plurals_and_marks() -> None:
    assert lines("loyalty", RU)["purchases"] == (
        "+10",
        "За каждое, вполовину через 180 дней, не больше 1 в день",
    )
    assert lines("loyalty", RU)["own_days"][0] == "+0,3"
    assert lines("churn_risk", RU)["habit"] == (
        "−5",
        "За каждый день из последних 720, не больше 3 дней",
    )
    assert value_words(CARDS["loyalty"], RU)[0] == (
        "Возвращается: не больше 60 из 100, половина при 40 баллах"
    )
    limits = [limits_words(part, RU) for part in CARDS["churn_risk"].parts]
    assert limits == ["не меньше 0 баллов", "в пределах от 0 до 45 баллов", ""]


def test_a_score_that_there_is_none_of_is_not_found(agent: httpx.Client) -> None:
    assert agent.get("/desk/scorecards?score=luck").status_code == 404
    assert agent.post(BACK_TEST, data={"beside": "luck", "text": "version: 1"}).status_code == 404


def test_a_change_begins_with_the_live_text(server: Server, agent: httpx.Client) -> None:
    shown = agent.get("/desk/scorecards?candidate=trust").text
    text = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", shown, re.S)
    assert text is not None
    assert words_of(text[1]) == " ".join(live_text(server, "trust").split())
    assert '<option value="trust" selected>' in shown


# A candidate that is wrong


def test_a_mistake_is_told_with_its_line_and_what_was_expected_and_nothing_is_tried(
    server: Server, agent: httpx.Client
) -> None:
    text = live_text(server, "loyalty").replace("half_life: 180", "half_life: soon", 1)
    place = text.split("\n").index("      half_life: soon") + 1
    shown = tried(agent, text.replace("\n", "\r\n"))
    assert f'data-line="{place}" data-column="7"' in shown
    assert (
        f"Line {place}, column 7: component 'purchases': `half_life` must be a whole number from 1 to 10000"
        in words_of(shown)
    )
    assert f'<li class="at"><span class="no">{place}</span><code>      half_life: soon</code></li>' in shown
    russian = tried(agent, text, **{"Accept-Language": "ru"})
    assert f"Строка {place}, столбец 7" in russian
    assert '<span lang="en">component' in russian
    assert [one.act for one in server.book.audit.latest()].count("scorecard_tried") == 0


def test_markup_in_a_candidate_is_text(agent: httpx.Client) -> None:
    shown = tried(agent, f"version: {SCRIPT}\n")
    assert SCRIPT not in shown
    assert "&lt;script&gt;" in shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file is empty"),
        ("[" * 20_000, "nested too deeply"),
        ("version: 1\n" + "# " + "a" * 70_000, "at most 64 KiB"),
        (
            "parts:\n  p:\n" + "".join(f"    - {{half_life: {9_000 + n}}}\n" for n in range(7)),
            "half-lives must add up to at most 50000 days",
        ),
        ("version: 1\n\x00", "characters that YAML does not allow"),
    ],
)
def test_a_candidate_that_would_cost_too_much_or_is_no_yaml_is_refused(text: str, expected: str) -> None:
    with pytest.raises(ScorecardInvalid, match=expected):
        candidate_of("loyalty", text, None, set())


def test_a_signal_that_no_touchpoint_gives_is_refused_at_its_place(
    server: Server, agent: httpx.Client
) -> None:
    text = live_text(server, "loyalty").replace("signal: purchase", "signal: purchese", 1)
    assert "no touchpoint gives the signal &#39;purchese&#39;" in tried(agent, text)


# The back-test


def test_the_live_version_tried_again_changes_nobody_and_gives_what_everybody_has(
    server: Server, agent: httpx.Client
) -> None:
    tiers = server.book.overview.tiers()
    assert tiers is not None
    for name in CARDS:
        shown = tried(agent, live_text(server, name), name)
        assert "Nobody’s value and nobody’s tier changes." in shown
        for side in re.findall(r'<div class="trow"><h4>\w+</h4>.*?</div>', shown, re.S):
            counted = [int(number) for number in re.findall(r"<b>(\d+)</b>", side)]
            wanted = [n for tier, n in tiers.scores[name].items() if tier is not None or n]
            assert counted == wanted


def test_who_moves_and_who_gains_and_loses_most_is_told_with_reasons_and_leads_to_him(
    server: Server, agent: httpx.Client
) -> None:
    text = (
        live_text(server, "loyalty")
        .replace("weight: 10000", "weight: 1000", 1)
        .replace("weight: 12000", "weight: 60000", 1)
        .replace("version: 1", "version: 2", 1)
    )
    candidate = candidate_of("loyalty", text, Texts(server.book).groups, server.book.catalogue.signals)
    with server.book.projections.reading() as reader:
        wanted = back_test(reader, candidate, CARDS["loyalty"], day_of(now()))
    assert wanted["winners"]
    assert wanted["losers"]
    shown = tried(agent, text)
    said = words_of(shown)
    assert "Loyalty, version 2 beside the live version 1" in said
    assert f"{wanted['customers']} customers." in said
    assert f"The values of {wanted['changed']['values']} change" in said
    moved = re.findall(r'<th scope="row"><a href="/desk/customers/([0-9a-f]{32})">', shown)
    assert moved == [one["customer"] for one in (*wanted["winners"], *wanted["losers"])]
    loser = wanted["losers"][0]["reasons"][0]
    assert f"Purchase {EN.points(loser['milli_points'], signed=True)}" in said
    assert "Would recommend us +" in said
    assert SCRIPT not in shown
    assert f"Mallory {SCRIPT}" not in shown
    assert "Mallory &lt;script&gt;" in shown
    [act] = server.book.audit.latest(1, act="scorecard_tried")
    assert dict(act.details) == {"score": "loyalty", "fingerprint": candidate.fingerprint}


def test_an_admin_sees_who_moves_only_by_number(server: Server) -> None:
    text = live_text(server, "loyalty").replace("weight: 10000", "weight: 1000", 1)
    with acting(server, "admin") as admin:
        shown = tried(admin, text)
    assert "Whose value falls most" in shown
    assert "Mallory" not in shown
    assert "/desk/customers/" not in shown


def test_a_new_score_is_tried_alone(server: Server, agent: httpx.Client) -> None:
    shown = words_of(tried(agent, live_text(server, "trust"), "new"))
    assert "There is no live score beside it, so nothing is compared." in shown
    assert "Who moves" not in shown


def test_who_has_no_script_waits_for_a_whole_page(server: Server) -> None:
    with acting(server, fragments=False, **{"Accept-Language": "ru"}) as agent:
        fields = {"beside": "loyalty", "text": live_text(server, "loyalty")}
        answer = agent.post(BACK_TEST, data=fields)
        assert answer.text.startswith("<!doctype html>")
        assert "Ни у кого не меняются ни значение, ни уровень." in answer.text
        assert "Loyalty. The wish to come back" in answer.text  # what was sent stays in its field
        assert 'lang="en"' in agent.post(BACK_TEST, data={**fields, "text": "version: x"}).text


def test_back_tests_take_turns_and_one_that_nobody_waits_for_ends(server: Server) -> None:
    tests = BackTests(server.book, share=1e-9)  # after the first customers it rests for ages
    run = tests.begin(CARDS["trust"], CARDS["trust"], day_of(now()))
    assert run is not None
    while not run.customers:
        time.sleep(0.01)
    assert tests.begin(CARDS["trust"], None, day_of(now())) is None
    run.abandoned.set()
    assert isinstance(run.ended.result(SECONDS), Abandoned)
    again = tests.begin(CARDS["trust"], None, day_of(now()))
    assert again is not None
    again.abandoned.set()


def test_a_back_test_ends_at_the_end_of_its_time(server: Server) -> None:
    run = BackTests(server.book, longest=0, share=1).begin(CARDS["trust"], None, day_of(now()))
    assert run is not None
    assert isinstance(run.ended.result(SECONDS), TookTooLong)


def test_a_failure_of_the_store_ends_a_back_test_and_the_next_one_begins(server: Server) -> None:
    class Broken:
        def reading(self) -> None:
            raise OSError("its disk is gone")

    class Book:
        projections = Broken()

    tests = BackTests(Book())  # type: ignore[arg-type]
    for _ in range(2):
        run = tests.begin(CARDS["trust"], None, 0)
        assert run is not None
        assert isinstance(run.ended.result(SECONDS), OSError)


def test_while_one_is_under_way_it_says_how_far_it_is_the_server_answers_others_and_it_ends_with_its_page(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "BackTests", partial(BackTests, share=1e-9))
    server = serve()
    recorded(server, happened("identified", "1", 1, traits={"name": "Ann"}))
    fields = {"beside": "trust", "text": live_text(server, "trust")}
    with acting(server) as agent, acting(server) as another:
        with agent.stream("POST", BACK_TEST, data=fields) as answer:
            lines = answer.iter_lines()  # held, for the stream ends with it
            assert any("1 customer so far" in line for line in lines)
            began = time.monotonic()
            assert server.http.get("/healthz").status_code == 200
            assert time.monotonic() - began < SECONDS
            assert "Another back-test is under way here" in told(another.post(BACK_TEST, data=fields))
        for _ in range(SECONDS * 10):
            with another.stream("POST", BACK_TEST, data=fields) as answer:
                begun = answer.headers["content-type"].startswith("text/event-stream")
            if begun:  # the first has ended, as nobody held its connection any more
                break
            time.sleep(0.1)
        assert begun


def test_a_failure_nobody_expected_is_told_with_the_number_it_is_logged_under(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: object, **more: object) -> None:
        raise ValueError("what a customer said")

    monkeypatch.setattr(page, "back_test", fails)
    server = serve()
    with acting(server) as agent:
        shown = tried(agent, live_text(server, "trust"), "trust")
    assert re.search(r"tell the operator this number\. <code>[0-9a-f]{16}</code>", shown)
    assert "what a customer said" not in shown
