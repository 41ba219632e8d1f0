"""The customer page: who he is, what needs action, whether he may be contacted; and who is told."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.api.serving import Server
from tests.books import NOON, event, publish
from tests.desk.pages import items_of, part_of, words_of
from tests.desk.signed import signed_in, with_marta
from touchbook.api.desk.channel_words import channel_words
from touchbook.api.desk.matters import Matter, _unanswered, _waiting, matters_of, owed_to
from touchbook.api.desk.pages import Desk
from touchbook.api.desk.who import masked
from touchbook.contact import CHANNELS
from touchbook.errors import StoreUnavailable
from touchbook.ledger import MILLISECONDS_A_DAY, day_of
from touchbook.policy import Policies, Usual
from touchbook.projections.situation import situation_of
from touchbook.registers import OpenRequest, Setting, ThreadMessage, open_requests, values_of
from touchbook.schemas.touchpoint import Identifier
from touchbook.wiring import now

pytestmark = pytest.mark.usefixtures("wednesday")

HOUR = 3_600_000
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with with_marta(tmp_path_factory.mktemp("customer") / "book") as running:
        yield running


@pytest.fixture(scope="module")
def marta(server: Server) -> str:
    return server.book.customers.find("user_id:84213").id


@pytest.fixture(scope="module")
def agent(server: Server) -> httpx.Client:
    return signed_in(server)


def page(client: httpx.Client, id: str, query: str = "") -> str:
    answer = client.get(f"/desk/customers/{id}{query}")
    assert answer.status_code == 200, answer.text
    return answer.text


def said(server: Server, *events: dict[str, Any]) -> None:
    assert {one.outcome for one in publish(server.book, events, received_at=now())} == {"accepted"}
    server.settle()


def told(type: str, data: dict[str, Any], hours_ago: float = 1, **more: Any) -> dict[str, Any]:
    days_ago = (NOON - now()) / MILLISECONDS_A_DAY + hours_ago / 24
    return event(type, data, days_ago=days_ago, id=f"{type}-{next(_numbers)}", **more)


def acts_in(server: Server) -> list[tuple[str, str | None, dict[str, str]]]:
    return [(one.act, one.customer, dict(one.details)) for one in server.book.audit.read(limit=10_000)]


# Who he is


def test_the_page_says_who_he_is_and_hides_what_identifies_him(agent: httpx.Client, marta: str) -> None:
    markup = page(agent, marta)
    who = words_of(part_of(markup, "who"))
    about = words_of(part_of(markup, "about"))

    assert who.startswith("Marta Lindqvist Since ")
    assert who.endswith("206 touchpoints on 7 channels")
    assert re.search(r"Time \d\d:\d\d Helsinki, \d hours ahead Speaks English, Swedish", about)
    assert "Prefers e-mail, then web chat Agreed to offers, surveys, not teaching" in about
    assert "User 84213 E-mail m•••t@•••••.test Phone +44 •• ••• ••47 Loyalty card •••• 4471" in about
    assert "Also 2 devices, 3 anonymous visits" in about
    assert "@example.test" not in markup


def test_the_same_page_in_russian_has_no_english_left(server: Server) -> None:
    client = signed_in(server, **{"Accept-Language": "ru"})
    vera = server.book.customers.find("user_id:84214").id
    markup = page(client, vera, "?why=trust")
    for part in ("who", "now", "about", "note-form", "scores"):
        words = words_of(part_of(markup, part)).replace("Ctrl ↵", "").replace("•.test", "")
        words = words.replace("standard-1", "")  # what the company calls its policy
        assert not re.findall(r"\b[A-Za-z]{3,}\b", words), words
    assert "206 касаний в 7 каналах" in words_of(part_of(markup, "who"))


def test_nothing_known_of_somebody_is_said_so(server: Server, agent: httpx.Client) -> None:
    said(server, told("page_viewed", {"name": "Home"}, who={"anonymous_id": "a-quiet-visitor"}))
    id = server.book.customers.find("anonymous_id:a-quiet-visitor").id
    markup = page(agent, id)

    assert words_of(part_of(markup, "name")) == "Visitor a-qu…"
    assert "1 touchpoint on 1 channel" in words_of(part_of(markup, "who"))
    assert "Nobody waits, nothing is owed, no case is open." in words_of(part_of(markup, "now"))
    about = words_of(part_of(markup, "about"))
    assert "Agreed to never asked" in about
    assert "Time" not in about
    assert "Also 1 anonymous visit" in about


@pytest.mark.parametrize(
    ("type", "value", "shown"),
    [
        ("email", "marta@mail.example.test", "m•••a@•••••.test"),
        ("email", "al@example.test", "•••@•••••.test"),
        ("phone", "+358401234547", "+358 •• ••• ••47"),
        ("loyalty_card", "40057714471", "•••• 4471"),
        ("loyalty_card", "123", "••••3"),
        ("user_id", "84213", "84213"),
        ("user_id", "marta@mail.example.test", "m•••a@•••••.test"),
        ("device", "ios-4F2A-9911", "ios-…"),
    ],
)
def test_an_identifier_is_hidden_so_that_one_who_knows_it_recognises_it(
    type: str, value: str, shown: str
) -> None:
    assert masked(Identifier(type, value)) == shown


def test_a_reveal_shows_one_value_once_and_is_recorded(
    server: Server, agent: httpx.Client, marta: str
) -> None:
    customer = server.book.customers.find(marta)
    email = next(one for one in customer.members if one.identifier.type == "email")
    csrf = re.search(r'name="csrf" value="([^"]+)"', page(agent, marta))
    assert csrf is not None
    headers = {"HX-Request": "true", "X-CSRF-Token": csrf[1]}

    answer = agent.post(f"/desk/customers/{marta}/reveal/{email.id}", headers=headers)

    assert words_of(answer.text) == email.identifier.value
    assert ("revealed", marta, {"member": email.id, "type": "email"}) in acts_in(server)
    assert email.identifier.value not in page(agent, marta)
    vera = server.book.customers.find("user_id:84214")
    before = len(acts_in(server))
    other = agent.post(f"/desk/customers/{marta}/reveal/{vera.members[0].id}", headers=headers)
    assert other.status_code == 404
    assert vera.members[0].identifier.value not in other.text
    assert agent.post(f"/desk/customers/{marta}/reveal/{email.id}").status_code == 403, "no token"
    assert agent.get(f"/desk/customers/{marta}/reveal/{email.id}").status_code in (404, 405)
    assert len(acts_in(server)) == before


def test_each_view_is_recorded_and_nothing_clear_gets_into_the_trail(
    server: Server, agent: httpx.Client, marta: str
) -> None:
    before = acts_in(server).count(("viewed", marta, {}))
    page(agent, marta)
    agent.get(f"/desk/customers/{marta}/now")
    assert acts_in(server).count(("viewed", marta, {})) == before + 1, "a fragment is no view of its own"
    trail = str(acts_in(server))
    assert "@" not in trail
    assert "Marta" not in trail


def test_a_customer_has_one_address_whichever_member_is_asked_for(
    server: Server, agent: httpx.Client, marta: str
) -> None:
    other = next(one.id for one in server.book.customers.find(marta).members if one.id != marta)
    answer = agent.get(f"/desk/customers/{other}?why=trust&channel=email")
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        f"/desk/customers/{marta}?why=trust&channel=email",
    )


def test_only_a_permanent_id_of_somebody_known_opens_a_page(server: Server, agent: httpx.Client) -> None:
    for ref in ("user_id:84213", "0" * 32, "MARTA", "84213"):
        answer = agent.get(f"/desk/customers/{ref}")
        assert answer.status_code == 404, ref
        assert "Lindqvist" not in answer.text
    marta = server.book.customers.find("user_id:84213").id
    operator = signed_in(server, "admin")
    for path in ("", "/scores", "/about", "/now", "/lines", "/scores/trust", "/linking", "/standing"):
        assert operator.get(f"/desk/customers/{marta}{path}").status_code == 403, path


def test_stored_markup_is_shown_as_the_text_it_is(server: Server, agent: httpx.Client) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'"
    who = {"user_id": f"evil{evil}", "loyalty_card": f"{evil}{evil}"}
    said(
        server,
        told("identified", {"traits": {"name": evil, "languages": [evil], "timezone": evil}}, who=who),
        told("preference_changed", {"channels": [evil], "language": evil}, who=who),
        told("consent_granted", {"purposes": [evil]}, who=who),
        told("promise_made", {"promise_id": evil, "what": evil, "due": "2020-01-01T00:00:00Z"}, who=who),
        told("case_opened", {"case_id": evil, "title": evil, "stage": evil}, who=who),
        told("chat_message_sent", {"thread": evil, "text": evil}, who=who, channel="<b>chat</b>"),
    )
    id = server.book.customers.lookup("user_id", who["user_id"]).id
    markup = page(agent, id, "?why=trust")
    markup += agent.get(f"/desk/customers/{id}/linking").text

    assert "<script>alert" not in markup
    assert "<img" not in markup
    assert "<b>chat</b>" not in markup
    assert words_of(part_of(markup, "name")) == evil


# What needs action


STANDARD = Policies.standard()


def setting(kind: str, key: str, value: Any, days_ago: float = 0) -> Setting:
    return Setting(kind, key, value, NOON - int(days_ago * MILLISECONDS_A_DAY), f"{kind}-{key}")


def message(thread: str, hours_ago: float, role: str = "customer", channel: str = "email") -> ThreadMessage:
    at = NOON - int(hours_ago * HOUR)
    return ThreadMessage("s", thread, at, f"{thread}-{hours_ago}", role, True, channel)


def test_matters_stand_in_the_order_of_their_urgency() -> None:
    settings = [
        setting("case", "case:C-1", {"state": "open"}, 3),
        setting("case_opened", "case:C-1", {"title": "Late"}, 3),
        setting("case", "order:O-1", {"state": "open"}, 9),
        setting("promise", "soon", {"what": "call", "due": NOON + HOUR}),
        setting("promise", "later", {"what": "write", "due": NOON + 9 * HOUR}),
        setting("promise", "missed", {"what": "send", "due": NOON - HOUR}),
        setting("promise", "broken", {"what": "deliver", "due": NOON - 5 * HOUR}),
        setting("promise_outcome", "broken", {"state": "broken"}),
        setting("promise", "kept", {"what": "refund", "due": NOON - 5 * HOUR}),
        setting("promise_outcome", "kept", {"state": "kept"}),
    ]
    messages = [
        message("m1", 24 * 20), message("m1", 24 * 19), message("m2", 24 * 15),
        message("chat", 0.2, channel="web_chat"),
        message("slow", 30), message("answered", 50), message("answered", 49, role="agent"),
    ]  # fmt: skip

    found = matters_of(settings, open_requests(messages), STANDARD, NOON)

    assert [(one.kind, one.id or one.touchpoints[0]) for one in found] == [
        ("late", "slow-30"),
        ("waiting", "chat-0.2"),
        ("unanswered", "m1-480"),
        ("broken", "broken"),
        ("overdue", "missed"),
        ("due", "soon"),
        ("due", "later"),
        ("case", "C-1"),
        ("order", "O-1"),
    ]
    silent = found[2]
    assert (silent.messages, silent.since, len(silent.touchpoints)) == (3, NOON - 480 * HOUR, 2)


def test_a_request_is_late_after_what_its_channel_lets_one_expect() -> None:
    (chat,) = matters_of([], open_requests([message("t", 0.25, channel="web_chat")]), STANDARD, NOON)
    (later,) = matters_of([], open_requests([message("t", 0.26, channel="web_chat")]), STANDARD, NOON)
    (mail,) = matters_of([], open_requests([message("t", 23)]), STANDARD, NOON)
    (given_up,) = matters_of([], open_requests([message("t", 72)]), STANDARD, NOON)
    assert [one.kind for one in (chat, later, mail, given_up)] == ["waiting", "late", "waiting", "unanswered"]
    assert chat.due is not None
    assert mail.due is not None
    assert (chat.due - NOON, mail.due - NOON) == (0, HOUR)


def matters_plainly(requests: Sequence[OpenRequest]) -> list[Matter]:
    """Of requests alone: who waits stands by himself, and all whom we gave up together."""
    owed = {one.touchpoint: owed_to(one, STANDARD) for one in requests}
    silent = [one for one in requests if (due := owed[one.touchpoint]) is not None and due.ignored_at <= NOON]
    found = [_waiting(one, owed[one.touchpoint], NOON) for one in requests if one not in silent]
    return [*found, *([_unanswered(silent)] if silent else [])]


@given(st.lists(st.tuples(st.integers(0, 99), st.sampled_from(["email", "web_chat", "store"])), max_size=30))
def test_of_many_requests_each_is_told_once_as_it_would_be_alone(asked: list[tuple[int, str]]) -> None:
    requests = open_requests([message(f"t{n}", hours, channel=by) for n, (hours, by) in enumerate(asked)])
    assert matters_of([], requests, STANDARD, NOON) == matters_plainly(requests)


def test_a_page_is_told_before_the_watch_has_looked_and_nothing_is_usual_till_then(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing_yet() -> dict[str, Usual]:
        raise StoreUnavailable("the watch has not looked yet")

    desk, usual = Desk(server.book), {"case:opened": Usual(3, HOUR)}
    monkeypatch.setattr(server.book.watch, "stays", nothing_yet)
    assert desk.usual_stays(NOON) == {}
    monkeypatch.setattr(server.book.watch, "stays", lambda: usual)
    assert desk.usual_stays(NOON) == usual
    monkeypatch.setattr(server.book.watch, "stays", nothing_yet)
    assert (desk.usual_stays(NOON), desk.usual_stays(NOON + HOUR)) == (usual, {})


def test_channels_of_which_the_same_is_said_are_told_together_each_once(
    server: Server, agent: httpx.Client
) -> None:
    who = {"user_id": "alike"}
    said(server, told("preference_changed", {"channels": ["email"]}, 20, who=who))
    banner = part_of(page(agent, server.book.customers.find("user_id:alike").id), "now")
    found = re.search(r'<div data-purpose="offer".*?</div>', banner, flags=re.DOTALL)
    assert found is not None
    rows = re.findall(r'<li class="nay">.*?<b>(.*?)</b>', found[0], flags=re.DOTALL)
    assert rows[0] == "E-mail"
    others = {channel_words(name, "en") for name in CHANNELS if name != "email"}
    assert sorted(", ".join(rows[1:]).lower().split(", ")) == sorted(name.lower() for name in others)
    assert len(rows) == 2


def test_the_banner_says_what_waits_and_each_line_leads_to_its_touchpoint(
    server: Server, agent: httpx.Client, marta: str
) -> None:
    banner = part_of(page(agent, marta), "now")
    lines = [re.sub(r"\d\d:\d\d$", "CLOCK", line) for line in items_of(banner)][:6]

    assert lines[0].startswith("Waits for a reply web chat, target 15 min")
    assert re.match(r"Never answered 3 e-mails, the first on \d+ \w+ (?:19|20) days", lines[1])
    assert re.match(r"Promise broken deliver order 10482 by \d+ \w+ (?:19|20) days", lines[2])
    assert re.match(r"Order 10482 stage: on its way, stays where it is too long 2\d days", lines[3])
    assert re.match(r"Case C-2207 Late delivery, .*, the customer saw nothing of it \d days", lines[4])
    assert re.match(r"Promise due a written answer by (tomorrow|today) \d\d:\d\d in \d+ h \d+ min", lines[5])
    keys = {
        item["key"]
        for item in server.get(f"/v1/customers/{marta}/timeline", params={"limit": 500}).json()["items"]
    }
    shown = re.findall(r'data-show="([^"]+)"', banner)
    assert len(shown) == 6
    assert {key for one in shown for key in one.split()} <= keys
    assert re.search(r'role="timer" data-since="\d+" data-target="\d+"', banner)


def test_what_is_done_with_is_left_out_of_a_situation_and_nothing_else(server: Server) -> None:
    customers = server.book.customers
    at = now()
    for ref in ("user_id:84213", "user_id:84214"):
        customer = customers.find(ref)
        with customers.reading() as reader:
            settings = reader.registers(customer.ids)
            messages = reader.latest_messages(customer.subjects)
        situation = situation_of(customers, customer, day_of(at))
        shown = matters_of(situation.settings, situation.requests, STANDARD, at)
        assert shown == matters_of(settings, open_requests(messages), STANDARD, at)
        assert situation.values("trait") == values_of(settings, "trait")
        assert len(situation.settings) < len(settings)
        assert situation.scores == customers.scores(customer, day_of(at))["scores"]


def test_of_many_matters_the_first_are_shown_and_none_is_lost(server: Server, agent: httpx.Client) -> None:
    who = {"user_id": "busy"}
    said(
        server,
        *(
            told("case_opened", {"case_id": f"B-{n}", "title": f"Case {n}"}, 10 + n, who=who)
            for n in range(30)
        ),
    )
    banner = part_of(page(agent, server.book.customers.find("user_id:busy").id), "now")
    assert "Needs action 60" in words_of(banner)
    assert "53 more" in words_of(part_of(banner, "now-more"))
    assert len(items_of(part_of(banner, "now-more"))) == 33
    assert words_of(part_of(banner, "now-more")).endswith("and 20 more")


# May he be contacted


def answers_for(banner: str, purpose: str) -> dict[str, str]:
    found = re.search(rf'<div data-purpose="{purpose}".*?</div>', banner, flags=re.DOTALL)
    assert found is not None
    rows = re.findall(
        r'<li class="(yes|nay)">.*?<b>(.*?)</b><span>(.*?)</span></li>', found[0], flags=re.DOTALL
    )
    return {name[0].upper() + name[1:]: words_of(why) for _, names, why in rows for name in names.split(", ")}


def test_each_purpose_has_its_answer_for_every_channel_with_the_reason(
    server: Server, agent: httpx.Client
) -> None:
    who = {"user_id": "asked"}
    said(
        server,
        told("consent_granted", {"purpose": "offer"}, 48, who=who),
        told("consent_withdrawn", {"purpose": "survey"}, 24, who=who),
        told("preference_changed", {"channels": ["email", "web_chat"]}, 20, who=who),
        told("chat_message_sent", {"thread": "t", "text": "Hello"}, 0.1, who=who),
    )
    banner = part_of(page(agent, server.book.customers.find("user_id:asked").id, "?purpose=survey"), "now")

    offer, survey, teach = (answers_for(banner, purpose) for purpose in ("offer", "survey", "teach"))
    assert re.fullmatch(r"yes, agreed \d+ \w+ \d{4}", offer["E-mail"])
    assert offer["Web chat"] == "yes, is there now"
    assert offer["Phone"] == "no, prefers other channels"
    assert re.fullmatch(r"no, withdrawn on \d+ \w+", survey["E-mail"])
    assert teach["Web chat"] == "no, never agreed"
    assert answers_for(banner, "service")["Phone"] == "yes, nothing speaks against it"
    assert "Service messages: allowed everywhere." in words_of(banner)
    assert re.search(r'<option value="survey" selected>', banner)
    assert re.search(r'<div data-purpose="offer" hidden>', banner)


def test_who_asked_to_be_left_in_peace_is_left_in_peace(server: Server, agent: httpx.Client) -> None:
    who = {"user_id": "tired"}
    said(
        server,
        told("preference_changed", {"do_not_contact": True}, who=who),
        told("consent_granted", {"purpose": "offer"}, who=who),
    )
    banner = part_of(page(agent, server.book.customers.find("user_id:tired").id), "now")
    for purpose in ("service", "offer", "survey", "teach"):
        assert set(answers_for(banner, purpose).values()) == {"no, asked to be left in peace"}
    assert "Service messages: not allowed either." in words_of(banner)


def test_a_channel_nobody_has_a_word_for_keeps_its_own() -> None:
    assert [channel_words("carrier_pigeon", one) for one in ("en", "ru")] == ["carrier pigeon"] * 2
    assert channel_words("email", "ru", capital=True) == "Почта"


def test_what_changes_comes_as_one_piece_and_follows_the_customer(
    server: Server, agent: httpx.Client
) -> None:
    who = {"user_id": "moving"}
    said(server, told("page_viewed", {"name": "Home"}, 2, who=who))
    id = server.book.customers.find("user_id:moving").id
    before = agent.get(f"/desk/customers/{id}/standing").text
    said(server, told("complaint_raised", {"text": "No."}, 1, who=who))
    after = agent.get(f"/desk/customers/{id}/standing").text

    for part in ("who", "now", "about", "scores"):
        part_of(before, part)
    assert "1 touchpoint on" in words_of(part_of(before, "who"))
    assert "2 touchpoints on" in words_of(part_of(after, "who"))
    assert "not known yet" in words_of(part_of(before, "score-trust"))
    assert "not known yet" not in words_of(part_of(after, "score-trust"))
    for path, part in (("about", "about"), ("now", "now"), ("scores", "scores")):
        fragment = agent.get(f"/desk/customers/{id}/{path}", headers={"HX-Request": "true"}).text
        assert words_of(fragment) == words_of(part_of(after, part))
