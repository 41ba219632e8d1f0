"""What was noticed and decided by itself, as the desk tells it: verdicts, receipts, limits, and who stands where."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.api.serving import Server
from tests.desk.acting import acting, happened, recorded
from tests.desk.pages import part_of, words_of
from tests.desk.signed import a_server
from touchbook.contacting import Candidate
from touchbook.ledger import day_of
from touchbook.projections.watched import Stood, TierChange
from touchbook.streams.deciding import Answer, Asked
from touchbook.wiring import now

pytestmark = pytest.mark.usefixtures("wednesday")

POLICY = """
policy: 1
versions:
- version: shop-1
  from: 1970-01-01
  reply: {targets: [{channels: [web_chat], within: 15m}, {within: 24h}], ignored_after: 72h}
  promises: true
  cases: {silent_after: 5d}
  contact:
    consent: {offer: withdrawal}
    caps: [{name: offers a week, purposes: [offer], most: 1, window: 7d}]
"""
RUSSIAN = {"Accept-Language": "ru"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("receipts")
    (folder / "policy.yaml").write_text(POLICY)
    with a_server(folder / "book", policy=folder / "policy.yaml") as running:
        recorded(
            running,
            happened("identified", "1", 30, traits={"name": "Marta Lindqvist"}),
            happened("chat_message_sent", "1", 5, text="Where is it?", thread="mail", channel="email"),
            happened("chat_message_sent", "1", 0.004, text="Hello?", thread="chat", channel="web_chat"),
            happened("case_opened", "1", 6, case_id="C-1", title="Late"),
            happened("promise_overdue", "1", 4, promise_id="p-1", what="a call"),
            happened("promise_kept", "1", 2, promise_id="p-1", what="a call"),
            *(happened("page_viewed", f"v{n}", 1) for n in range(60)),
        )
        key = next(one.touchpoint for one in running.book.overview.waiting(5) if one.thread == "mail")
        recorded(
            running,
            happened("request_ignored", "1", 2, turn=key, waited=72 * 3600, thread="mail"),
            happened(
                "chat_message_sent",
                "1",
                1,
                text="Here",
                thread="mail",
                channel="email",
                actor={"kind": "agent"},
            ),
        )
        running.settle()
        running.book.watch.look()
        yield running


@pytest.fixture(scope="module")
def agent(server: Server) -> Iterator[httpx.Client]:
    with acting(server) as client:
        yield client


@pytest.fixture(scope="module")
def offers(server: Server) -> list[Answer]:
    """One that went out, and one too many."""
    subject = server.book.customers.id_of("user_id:1")
    told: list[Answer] = []
    for id in ("a", "b"):
        offer = Candidate(id, "email", "offer", "Winter days")
        answer = server.book.contacting.reserve([Asked(subject, offer, "mailer", id)]).result(10)[0]
        assert isinstance(answer, Answer)
        told.append(answer)
    server.book.contacting.confirm(told[0].id, "mailer", "m-1").result(10)
    server.settle()
    return told


def customer(server: Server) -> str:
    return f"/desk/customers/{server.book.customers.find('user_id:1').id}"


def card_of(client: httpx.Client, server: Server, type: str, **headers: str) -> tuple[str, str]:
    """The card of the newest touchpoint of a type, and what opens below it."""
    path = customer(server)
    run = client.get(path + "/timeline", params={"f": "1", "type": type}, headers=headers).text
    found = re.search(r'<article class="[^"]*" id="tp-(\w+)".*?</article>', run, re.S)
    assert found is not None, run
    more = client.get(f"{path}/touchpoints/{found[1]}", headers=headers)
    assert more.status_code == 200
    return words_of(found[0]), more.text


def test_a_verdict_says_beside_it_what_became_known_later(server: Server, agent: httpx.Client) -> None:
    card, more = card_of(agent, server, "request_ignored")
    assert "No reply to a request: 3 d so far" in card
    assert re.search(r"answered after 4 days, known since \d+ \w+, \d\d:\d\d", card)
    assert "Waited 3 days" in words_of(more)
    overdue, _ = card_of(agent, server, "promise_overdue")
    assert re.search(r"kept on \d+ \w+", overdue)
    russian, _ = card_of(agent, server, "request_ignored", **RUSSIAN)
    assert "ответ через 4 дня, известно с" in russian


def test_a_decision_is_told_with_its_reasons_and_leads_to_what_became_of_it(
    server: Server, agent: httpx.Client, offers: list[Answer]
) -> None:
    assert [one.kind for one in offers] == ["reserved", "deferred"]
    _, receipt = card_of(agent, server, "contact_reserved")
    for said in ("Asked by mailer", "For e-mail", "Policy version shop-1", "Counts yes", "Went out"):
        assert said in words_of(receipt)
    assert len(re.findall(r'data-show="\w{32}"', receipt)) == 1
    card, receipt = card_of(agent, server, "contact_deferred")
    assert "We put a message off" in card
    assert "Reasons limit reached: offers a week" in words_of(receipt)
    _, russian = card_of(agent, server, "contact_deferred", **RUSSIAN)
    assert "Причины предел исчерпан: offers a week" in words_of(russian)


def test_what_the_policy_forbids_is_named_with_the_next_moment_at_which_it_is_allowed(
    server: Server, agent: httpx.Client, offers: list[Answer]
) -> None:
    banner = part_of(agent.get(customer(server) + "/now").text, "now")
    offer = re.search(r'<div data-purpose="offer".*?</div>', banner, re.S)
    assert offer is not None
    assert re.search(
        r"e-mail, .*no, limit reached: offers a week allowed from \d+ \w+, \d\d:\d\d", words_of(offer[0])
    )
    assert "Policy: shop-1" in words_of(offer[0])
    assert "web chat, target 15 min" in words_of(banner)
    assert re.search(r"Case C-1 Late, the customer saw nothing of it \d days", words_of(banner))


def test_the_overview_tells_who_is_nearly_late_how_soon_we_answer_and_what_was_held_back(
    server: Server, agent: httpx.Client, offers: list[Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    book = server.book
    fallen = TierChange(
        book.customers.find("user_id:1").id, "churn_risk", day_of(now()),
        Stood(60, "high"), Stood(81, "critical"), 1,
    )  # fmt: skip
    monkeypatch.setattr(book.watch, "became", lambda *asked: [fallen])
    book.overview.forget()
    page = words_of(agent.get("/desk/overview/live").text)
    book.overview.forget()

    assert re.search(r"About to be late 1 .* Marta Lindqvist in \d+ min web chat 15 min", page)
    assert re.search(r"Churn risk: critical 1 new in 7 days .* Marta Lindqvist was high 81", page)
    assert re.search(r"E-mail 1 4 days 4 days 0% 0 1 0", page)
    assert "Limit reached 0 1 +1" in page


def test_customers_of_a_tier_are_listed_page_by_page_each_once(server: Server, agent: httpx.Client) -> None:
    path, seen, pages = "/desk/standing/engagement", list[str](), 0
    while path:
        page = agent.get(path).text
        seen += re.findall(r'<th scope="row"><a href="/desk/customers/(\w{32})\?why=engagement"', page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        path, pages = following[1].replace("&amp;", "&") if following else "", pages + 1
    assert (len(seen), len(set(seen)), pages) == (61, 61, 2)
    assert "Никого" not in words_of(agent.get("/desk/standing/trust", headers=RUSSIAN).text)
    assert agent.get("/desk/standing/engagement?tier=nowhere").status_code == 400
    assert agent.get("/desk/standing/engagement?order=up").status_code == 422
    assert agent.get("/desk/standing/nothing").status_code == 404
    with acting(server, "admin") as admin:
        assert admin.get("/desk/standing/engagement").status_code == 403
