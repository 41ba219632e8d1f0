"""What an agent does is a touchpoint in the journal, under his name, once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.api.serving import Server
from tests.desk.pages import field_of, part_of, words_of
from tests.desk.signed import signed_in, token_of, with_marta
from touchbook.api.desk.acts import LONGEST_NOTE, MOOD_ICONS, MOODS
from touchbook.errors import JournalUnavailable
from touchbook.schemas.times import milliseconds

pytestmark = pytest.mark.usefixtures("wednesday")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with with_marta(tmp_path_factory.mktemp("acts") / "book") as running:
        yield running


@pytest.fixture(scope="module")
def marta(server: Server) -> str:
    return server.book.customers.find("user_id:84213").id


@pytest.fixture(scope="module")
def agent(server: Server) -> httpx.Client:
    client = signed_in(server)
    client.headers.update({"X-CSRF-Token": token_of(client), "HX-Request": "true"})
    return client


def timeline(server: Server, customer: str, **filters: Any) -> list[dict[str, Any]]:
    found = server.get(f"/v1/customers/{customer}/timeline", params={"limit": 500, **filters}).json()
    items: list[dict[str, Any]] = found["items"]
    return items


def form_of(agent: httpx.Client, customer: str) -> str:
    return part_of(agent.get(f"/desk/customers/{customer}").text, "note-form")


def note(agent: httpx.Client, customer: str, **fields: str) -> httpx.Response:
    token = fields.pop("token", None) or field_of(form_of(agent, customer), "token")
    return agent.post(f"/desk/customers/{customer}/note", data={"token": token, **fields})


def feedback(server: Server, customer: str) -> dict[str, Any]:
    return timeline(server, customer, type="survey_answered")[0]


def about(item: dict[str, Any]) -> dict[str, str]:
    return {"key": item["key"], "at": str(milliseconds(item["occurred_at"], "at"))}


def test_a_note_stands_in_the_journal_with_the_agents_name(
    server: Server, agent: httpx.Client, marta: str
) -> None:
    answer = note(agent, marta, text="  Called the carrier.\nAnswer by Friday.  ")

    assert answer.status_code == 200
    assert "Saved" in words_of(answer.text)
    (item,) = timeline(server, marta, type="note_added")[:1]
    assert item["data"]["text"] == "Called the carrier.\nAnswer by Friday."
    assert item["actor"] == {"kind": "agent", "name": "web-shop"}
    assert (item["source"], item["channel"], item["direction"]) == ("web-shop", "desk", "internal")
    assert field_of(answer.text, "token") != field_of(form_of(agent, marta), "token"), "each form is new"


def test_a_note_sent_twice_is_one_touchpoint_and_one_with_other_words_another(
    server: Server, agent: httpx.Client, marta: str
) -> None:
    before = len(timeline(server, marta, type="note_added"))
    token = field_of(form_of(agent, marta), "token")
    with ThreadPoolExecutor(2) as both:
        answers = list(both.map(lambda _: note(agent, marta, token=token, text="Twice"), range(2)))
    assert [one.status_code for one in answers] == [200, 200]
    assert len(timeline(server, marta, type="note_added")) == before + 1

    assert note(agent, marta, token=token, text="Twice, and better").status_code == 200
    assert len(timeline(server, marta, type="note_added")) == before + 2
    assert not server.get("/v1/set-aside", role="admin").json()["items"]


def test_a_mood_with_a_note_is_a_touchpoint_of_its_own_and_counts(
    server: Server, agent: httpx.Client, marta: str
) -> None:
    before = len(timeline(server, marta, type="emotion_observed"))
    assert note(agent, marta, text="Furious on the phone.", mood="angry").status_code == 200
    (felt,) = timeline(server, marta, type="emotion_observed")[:-before]
    assert {name: felt["data"][name] for name in ("emotion", "valence", "source")} == {
        "emotion": "anger", "valence": "negative", "source": "agent",
    }  # fmt: skip
    assert note(agent, marta, text="", mood="glad").status_code == 200
    assert timeline(server, marta, type="emotion_observed")[0]["data"]["emotion"] == "joy"
    assert MOOD_ICONS.keys() == {mood.name for mood in MOODS}


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"text": " \n "}, "Write something, or choose a mood."),
        ({"text": "", "mood": "jolly"}, "Write something, or choose a mood."),
        ({"text": "x" * (LONGEST_NOTE + 1)}, "This note has 10001 characters; 10000 fit."),
        ({"text": "Kept", "token": "of-mine"}, "This form was cut off."),
    ],
)
def test_what_is_wrong_with_a_note_is_said_in_its_place_and_nothing_is_lost(
    server: Server, agent: httpx.Client, marta: str, fields: dict[str, str], wrong: str
) -> None:
    head = server.book.journal.head()
    answer = note(agent, marta, **fields)
    assert answer.status_code == 422
    assert wrong in words_of(answer.text)
    assert f">{fields['text'].strip()}</textarea>" in answer.text
    assert server.book.journal.head() == head


def test_a_note_that_cannot_be_recorded_now_is_kept_in_the_form(
    server: Server, agent: httpx.Client, marta: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*asked: object) -> None:
        raise JournalUnavailable("the disk is full")

    monkeypatch.setattr(server.book.admission, "admit", full)
    answer = note(agent, marta, text="<b>Important</b>", mood="sad")
    assert answer.status_code == 422
    assert "It could not be recorded just now. Nothing is lost: send it again." in words_of(answer.text)
    assert "&lt;b&gt;Important&lt;/b&gt;</textarea>" in answer.text
    assert 'value="sad" checked' in answer.text


def test_without_script_a_note_leads_back_to_the_page(server: Server, marta: str) -> None:
    client = signed_in(server)
    token = field_of(form_of(client, marta), "token")
    fields = {"csrf": token_of(client), "token": token}
    answer = client.post(f"/desk/customers/{marta}/note", data={**fields, "text": "By hand"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/desk/customers/{marta}")
    assert timeline(server, marta, type="note_added")[0]["data"]["text"] == "By hand"
    empty = client.post(f"/desk/customers/{marta}/note", data={**fields, "text": ""})
    assert empty.status_code == 422
    assert "<html" in empty.text


def test_an_act_of_another_page_is_not_done(server: Server, agent: httpx.Client, marta: str) -> None:
    head = server.book.journal.head()
    token = field_of(form_of(agent, marta), "token")
    stranger = signed_in(server)
    for headers in ({"Origin": "https://example.test"}, {}):
        for act in ("note", "mood", "acknowledge", "linking"):
            path = f"/desk/customers/{marta}/{act}"
            answer = stranger.post(path, data={"token": token, "text": "x"}, headers=headers)
            assert answer.status_code == 403, act
    assert server.book.journal.head() == head


def test_a_mood_is_tagged_on_a_touchpoint(server: Server, agent: httpx.Client, marta: str) -> None:
    item = feedback(server, marta)
    form = agent.get(f"/desk/customers/{marta}/mood", params=about(item)).text
    fields = {**about(item), "token": field_of(form, "token"), "mood": "sad"}
    answers = [agent.post(f"/desk/customers/{marta}/mood", data=fields) for _ in range(2)]

    assert [words_of(one.text) for one in answers] == ["Tagged: sad"] * 2
    tags = [
        one for one in timeline(server, marta, type="emotion_observed")
        if one["data"].get("touchpoint") == item["key"]
    ]  # fmt: skip
    assert [one["data"]["in_reply_to"] for one in tags] == [item["id"]]
    assert tags[0]["subject"] == item["subject"]
    unsaid = agent.post(f"/desk/customers/{marta}/mood", data={**fields, "mood": ""})
    assert (unsaid.status_code, "Choose a mood." in unsaid.text) == (422, True)


def test_feedback_is_acknowledged_once_whoever_presses_the_button(
    server: Server, agent: httpx.Client, marta: str
) -> None:
    item = feedback(server, marta)
    for _ in range(2):
        answer = agent.post(f"/desk/customers/{marta}/acknowledge", data=about(item))
        assert (answer.status_code, words_of(answer.text)) == (200, "Acknowledged")
    thanks = timeline(server, marta, type="feedback_acknowledged")
    assert [one["data"]["touchpoint"] for one in thanks] == [item["key"]]
    assert thanks[0]["data"]["feedback_id"]
    assert thanks[0]["actor"]["kind"] == "agent"


def test_nothing_is_said_about_a_touchpoint_of_somebody_else(
    server: Server, agent: httpx.Client, marta: str
) -> None:
    vera = server.book.customers.find("user_id:84214").id
    item = feedback(server, vera)
    head = server.book.journal.head()
    for fields in (about(item), {**about(item), "at": "x"}, {"key": item["key"]}):
        assert agent.post(f"/desk/customers/{marta}/acknowledge", data=fields).status_code == 404
        assert agent.post(f"/desk/customers/{marta}/mood", data={**fields, "mood": "sad"}).status_code == 404
        assert agent.get(f"/desk/customers/{marta}/mood", params=fields).status_code == 404
    assert server.book.journal.head() == head
