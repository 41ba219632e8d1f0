"""Identifiers stay masked on the timeline too: who wants to see one reveals it, and that is recorded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest

from tests.api.serving import Server
from tests.desk.acting import happened, recorded
from tests.desk.pages import words_of
from tests.desk.signed import a_server, signed_in
from touchbook.api.desk.who import reference_words
from touchbook.api.desk.words import Words


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("masked") / "book") as running:
        yield running


def test_whom_an_agent_joined_or_told_apart_is_masked(server: Server) -> None:
    who, mail, card = "hidden", "email:hidden@example.test", "loyalty_card:77001234"
    recorded(
        server,
        happened("page_viewed", who, 3, name="Home"),
        happened("page_viewed", {"email": "hidden@example.test"}, 3, name="Home"),
    )
    reason = {"reason": "He said so."}
    for path, said in (
        ("link", {"link": [f"user_id:{who}", mail]}),
        ("unlink", {"apart": [f"user_id:{who}"], "from": [card]}),
    ):
        event = happened(path, who, 1, **said, **reason)
        answer = server.event(event, role="agent")
        assert answer.status_code == 200, answer.text
    server.settle()
    agent = signed_in(server)
    page = agent.get(f"/desk/customers/{server.book.customers.find(f'user_id:{who}').id}").text

    shown = words_of(page)
    assert "Found to be one person: User hidden, E-mail h•••n@•••••.test" in shown
    assert "Found to be different people: User hidden and Loyalty card •••• 1234" in shown
    assert "hidden@example.test" not in page
    assert "77001234" not in page


def test_details_hold_the_data_as_they_were_sent_and_opening_them_is_recorded(server: Server) -> None:
    recorded(
        server, happened("identified", "known", 1, traits={"name": "Ada Vale", "email": "ada@example.test"})
    )
    server.settle()
    agent = signed_in(server)
    customer = server.book.customers.find("user_id:known").id
    page = agent.get(f"/desk/customers/{customer}").text
    found = re.search(r'id="tp-([0-9a-f]{32})"', page)
    assert found is not None

    opened = agent.get(f"/desk/customers/{customer}/touchpoints/{found[1]}").text

    assert "ada@example.test" not in page
    assert "ada@example.test" in opened
    [last] = server.book.audit.latest(1)
    assert (last.act, last.customer, last.details) == ("opened", customer, {"touchpoint": found[1]})


def test_what_is_no_identifier_is_told_as_it_was_said() -> None:
    words = Words("ru", ZoneInfo("UTC"))
    assert reference_words("phone:+358401230047", words) == "Телефон +358 •• ••• ••47"
    assert reference_words("the neighbour", words) == "the neighbour"
    assert reference_words("cookie:12", words) == "cookie:12"
