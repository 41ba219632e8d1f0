"""Linking and un-linking: what the preview says is what happens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.api.serving import Server
from tests.books import NOON, event, publish
from tests.desk.pages import field_of, words_of
from tests.desk.signed import a_server, signed_in, token_of
from touchbook.ledger import MILLISECONDS_A_DAY
from touchbook.wiring import now

pytestmark = pytest.mark.usefixtures("wednesday")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("linking") / "book") as running:
        yield running


@pytest.fixture(scope="module")
def agent(server: Server) -> httpx.Client:
    client = signed_in(server)
    client.headers.update({"X-CSRF-Token": token_of(client)})
    return client


def said(server: Server, *events: dict[str, Any]) -> None:
    assert {one.outcome for one in publish(server.book, events, received_at=now())} == {"accepted"}
    server.settle()


def told(type: str, data: dict[str, Any], who: dict[str, str], days_ago: float = 1) -> dict[str, Any]:
    at = (NOON - now()) / MILLISECONDS_A_DAY + days_ago
    return event(type, data, who=who, days_ago=at, id=f"{type}-{sorted(who.items())}-{days_ago}")


def two_in_one(server: Server, name: str) -> str:
    """A customer to whom somebody else's e-mail was joined by mistake."""
    user, email = {"user_id": name}, {"email": f"{name}@example.test"}
    said(
        server,
        told("order_placed", {"order_id": "1"}, user, 40),
        told("promise_kept", {"promise_id": "1"}, user, 30),
        told("complaint_raised", {"text": "No."}, email, 20),
        told("promise_broken", {"promise_id": "2"}, email, 10),
        told("identified", {}, {**user, **email}, 5),
    )
    return server.book.customers.find(f"user_id:{name}").id


def members(agent: httpx.Client, customer: str) -> dict[str, str]:
    """The words of each member's line → its id."""
    markup = agent.get(f"/desk/customers/{customer}/linking").text
    lines = re.findall(r'name="apart" value="(\w+)".*?</li>', markup, flags=re.DOTALL)
    items = re.findall(r"<li><label>.*?</li>", markup, flags=re.DOTALL)
    return {words_of(item): id for item, id in zip(items, lines, strict=True)}


def ask(agent: httpx.Client, customer: str, **fields: Any) -> httpx.Response:
    path = f"/desk/customers/{customer}/linking"
    token = fields.pop("token", None) or field_of(agent.get(path).text, "token")
    return agent.post(path, data={"step": "preview", "token": token, **fields})


def table(markup: str) -> dict[str, list[str]]:
    """The preview's rows: heading → cells."""
    rows = {}
    for row in re.findall(r"<tr>.*?</tr>", markup, flags=re.DOTALL):
        if head := re.search(r'<th scope="row">(.*?)</th>', row):
            rows[words_of(head[1])] = [
                words_of(cell) for cell in re.findall(r"<td.*?</td>", row, flags=re.DOTALL)
            ]
    return rows


def standing(server: Server, ref: str) -> tuple[int, dict[str, Any]]:
    customers = server.book.customers
    customer = customers.find(ref)
    scores = customers.scores(customer, now() // MILLISECONDS_A_DAY)["scores"]
    return customers.card(customer)["touchpoints"], {name: one["value"] for name, one in scores.items()}


def test_an_unlink_does_what_its_preview_said(server: Server, agent: httpx.Client) -> None:
    id = two_in_one(server, "unlinked")
    head = server.book.journal.head()
    apart = next(id for words, id in members(agent, id).items() if words.startswith("E-mail"))

    preview = ask(agent, id, act="unlink", apart=[apart], reason="He says it is his wife's.")
    rows = table(preview.text)

    assert preview.status_code == 200
    assert server.book.journal.head() == head, "a preview changes nothing"
    assert "Now: 1 customer Then: 2 customers" in words_of(preview.text)
    assert rows["Identifiers"] == [
        "User unlinked E-mail u•••d@•••••.test", "User unlinked", "E-mail u•••d@•••••.test",
    ]  # fmt: skip
    assert rows["Touchpoints"] == ["5", "3", "2"]

    done = ask(
        agent,
        id,
        step="do",
        act="unlink",
        apart=[apart],
        reason="He says it is his wife's.",
        token=field_of(preview.text, "token"),
    )
    stays = server.book.customers.find("user_id:unlinked")
    assert (done.status_code, done.headers["location"]) == (303, f"/desk/customers/{stays.id}")
    other = server.book.customers.lookup("email", "unlinked@example.test")
    assert stays.id != other.id
    for place, ref in ((1, stays.id), (2, other.id)):
        touchpoints, scores = standing(server, ref)
        # The decision is a touchpoint too, of the one who stays.
        assert int(rows["Touchpoints"][place]) == touchpoints - (ref == stays.id)
        for name, title in (("trust", "Trust"), ("loyalty", "Loyalty"), ("churn_risk", "Churn risk")):
            shown = rows[title][place].split()[0]
            assert shown == ("–" if scores[name] is None else str(scores[name])), (title, ref)
    (item,) = server.get(f"/v1/customers/{stays.id}/timeline", params={"type": "unlink"}).json()["items"]
    assert item["data"]["apart"] == ["email:unlinked@example.test"]
    assert item["data"]["reason"] == "He says it is his wife's."
    assert item["actor"] == {"kind": "agent", "name": "web-shop"}


def test_a_link_does_what_its_preview_said_and_the_other_was_looked_at(
    server: Server, agent: httpx.Client
) -> None:
    said(
        server,
        told("order_placed", {"order_id": "7"}, {"user_id": "linked"}, 40),
        told("complaint_raised", {"text": "No."}, {"phone": "+49 30 1234567"}, 3),
        told("promise_kept", {"promise_id": "7"}, {"phone": "+49 30 1234567"}, 2),
    )
    id = server.book.customers.find("user_id:linked").id
    other = server.book.customers.lookup("phone", "+49301234567").id

    preview = ask(agent, id, act="link", type="phone", value=" +49 30 123-45-67 ")
    rows = table(preview.text)

    assert "Now: 2 customers Then: 1 customer" in words_of(preview.text)
    assert rows["Touchpoints"] == ["1", "2", "3"]
    views = [(one.act, one.customer) for one in server.book.audit.read(limit=10_000)]
    assert ("viewed", other) in views
    assert "1234567" not in str(views)
    fields = {"act": "link", "type": "phone", "value": "+49301234567"}
    token = field_of(preview.text, "token")
    answers = [ask(agent, id, step="do", token=token, **fields) for _ in range(2)]
    assert [one.status_code for one in answers] == [303, 422], "the second finds it done"
    assert "belongs to the customer already" in answers[1].text

    customer = server.book.customers.find("user_id:linked")
    assert customer.id == server.book.customers.lookup("phone", "+49301234567").id
    touchpoints, scores = standing(server, customer.id)
    assert touchpoints == 4
    assert rows["Trust"][2].split()[0] == str(scores["trust"])
    items = server.get(f"/v1/customers/{customer.id}/timeline", params={"type": "link"}).json()["items"]
    assert [one["data"]["link"] for one in items] == [["user_id:linked", "phone:+49301234567"]]
    assert all("1234567" not in one.headers["location"] for one in answers[:1])


def test_an_identifier_nobody_has_heard_of_can_be_added(server: Server, agent: httpx.Client) -> None:
    said(server, told("order_placed", {"order_id": "8"}, {"user_id": "grows"}))
    id = server.book.customers.find("user_id:grows").id
    preview = ask(agent, id, act="link", type="email", value="New.Address@Example.test")
    assert table(preview.text)["Touchpoints"] == ["1", "0", "1"]
    ask(
        agent, id, step="do", act="link", type="email", value="new.address@example.test",
        token=field_of(preview.text, "token"),
    )  # fmt: skip
    assert server.book.customers.lookup("email", "new.address@example.test").id == id


def test_a_link_that_a_guard_would_refuse_is_told_before_and_not_offered(
    server: Server, agent: httpx.Client
) -> None:
    said(
        server,
        told("order_placed", {"order_id": "9"}, {"user_id": "one"}),
        told("order_placed", {"order_id": "9"}, {"user_id": "two"}),
    )
    id = server.book.customers.find("user_id:one").id
    preview = ask(agent, id, act="link", type="user_id", value="two")
    words = words_of(preview.text)
    assert (
        "This link would be refused. One customer would have too many identifiers of one kind: User." in words
    )
    assert "Link them" not in words


def test_what_cannot_be_done_is_said_in_place_with_what_was_filled_in(
    server: Server, agent: httpx.Client
) -> None:
    id = two_in_one(server, "unfit")
    ids = list(members(agent, id).values())
    head = server.book.journal.head()
    tries: list[tuple[dict[str, Any], str]] = [
        ({"act": "unlink"}, "Choose the identifiers that belong to somebody else."),
        ({"act": "unlink", "apart": ["0" * 32]}, "Choose the identifiers that belong to somebody else."),
        ({"act": "unlink", "apart": ids}, "Leave at least one identifier"),
        ({"act": "link", "type": "email", "value": "nobody"}, "This is no such identifier"),
        ({"act": "link", "type": "shoe_size", "value": "42"}, "Choose what kind of identifier it is."),
        ({"act": "link", "type": "user_id", "value": "unfit"}, "belongs to the customer already"),
        ({"act": "link", "type": "user_id", "value": "x", "reason": "y" * 1001}, "The reason is too long"),
        ({"act": "link", "type": "user_id", "value": "x", "token": "mine"}, "This form was cut off."),
    ]
    for fields, wrong in tries:
        for step in ("preview", "do"):
            answer = ask(agent, id, **{**fields, "step": step})
            assert answer.status_code == 422, fields
            assert wrong in words_of(answer.text), fields
    assert server.book.journal.head() == head
    assert 'value="nobody"' in ask(agent, id, act="link", type="email", value="nobody").text


def test_values_are_hidden_on_the_page_and_the_view_is_recorded(server: Server, agent: httpx.Client) -> None:
    id = two_in_one(server, "hidden")
    before = [one.act for one in server.book.audit.read(limit=10_000)].count("viewed")
    markup = agent.get(f"/desk/customers/{id}/linking").text
    assert "hidden@example.test" not in markup
    assert [one.act for one in server.book.audit.read(limit=10_000)].count("viewed") == before + 1


def test_an_identifier_seen_on_one_day_has_one_date(server: Server, agent: httpx.Client) -> None:
    once, again = {"user_id": "once"}, {"user_id": "again"}
    made = [
        event("page_viewed", {"name": "Home"}, who=who, days_ago=days, id=f"seen-{who['user_id']}-{days}")
        for who, days in ((once, 3), (again, 5), (again, 3))
    ]
    assert {one.outcome for one in publish(server.book, made)} == {"accepted"}
    server.settle()
    for ref, dates in (("user_id:once", 1), ("user_id:again", 2)):
        path = f"/desk/customers/{server.book.customers.find(ref).id}/linking"
        told = agent.get(path, headers={"Accept-Language": "en"}).text
        assert len(re.findall(r"\b\d{1,2} [A-Z][a-z]{2} \d{4}\b", words_of(told))) == dates
