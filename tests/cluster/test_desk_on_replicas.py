"""The desk, decisions about contacting and the feed of changes at two replicas: what is done at one is seen at the
other."""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.cluster.machines import SECONDS, SESSION_SECONDS, Machines, Serving, installed
from tests.desk.acting import happened
from tests.desk.pages import field_of, part_of, words_of
from tests.desk.signed import token_of
from tests.desk.test_acts import about
from tests.desk.test_linking import members, table
from tests.desk.test_live import live_of
from tests.desk.test_scorecards import told as last_piece
from tests.desk.test_timeline import keys_in
from tests.servers.clickhouse import ClickHouse
from tests.servers.kafka import Kafka
from touchbook.api.desk.session import COOKIE
from touchbook.projections.watch import OTHERS_MARGIN_MS
from touchbook.wiring import now

pytestmark = [pytest.mark.server, pytest.mark.thorough, pytest.mark.timeout(300)]

POLICY = """
policy: 1
versions:
- version: shop-1
  from: 1970-01-01
  reply: {targets: [{within: 24h}], ignored_after: 72h}
  contact:
    consent: {offer: withdrawal}
    caps: [{name: offers a week, purposes: [offer], most: 1, window: 7d}]
"""


@dataclass
class Place:
    """One replica, and the agent's browser there: signed in at the first, with the same cookie at each."""

    replica: Serving
    http: httpx.Client
    agent: httpx.Client
    keys: dict[str, str]
    watched: int = 0
    """When every replica watched everybody, and there was somebody: of nobody it is begun anew (ms UTC)."""

    def as_of(self, role: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[role]}"}

    def get(self, path: str, role: str = "agent", **asked: Any) -> Any:
        answer = self.http.get(path, params=asked or None, headers=self.as_of(role))
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def post(self, path: str, body: object, role: str) -> Any:
        answer = self.http.post(path, json=body, headers=self.as_of(role))
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def publish(self, *events: dict[str, Any]) -> None:
        headers = self.as_of("publish") | {"Content-Type": "application/cloudevents-batch+json"}
        answer = self.http.post("/v1/events", content=json.dumps(events), headers=headers)
        assert answer.json().get("accepted") == len(events), answer.text

    def knows(self, type: str, value: str) -> Any:
        """His card, None where nobody is known by it yet."""
        body = {"type": type, "value": value}
        answer = self.http.post("/v1/customers:lookup", json=body, headers=self.as_of("agent"))
        return answer.json() if answer.status_code == 200 else None

    def items(self, customer: str, **filters: Any) -> list[Any]:
        found: list[Any] = self.get(f"/v1/customers/{customer}/timeline", limit=500, **filters)["items"]
        return found

    def shown(self, path: str) -> str:
        answer = self.agent.get(path)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.text

    def done(self, path: str, status: int = 200, **fields: Any) -> httpx.Response:
        answer = self.agent.post(path, data=fields)
        assert answer.status_code == status, f"{path}: {answer.status_code} {answer.text}"
        return answer


Places = tuple[Place, Place]


@pytest.fixture(scope="module")
def machines(
    kafka_server: Kafka, clickhouse_server: ClickHouse, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machines]:
    settings = {"TOUCHBOOK_SESSION_SECONDS": str(SESSION_SECONDS)}
    folder = tmp_path_factory.mktemp("desk")
    with installed(kafka_server, clickhouse_server, folder, parts=2, policy=POLICY, **settings) as made:
        yield made


@pytest.fixture(scope="module")
def places(machines: Machines) -> Iterator[Places]:
    machines.worker().start()
    replicas = [machines.replica().start() for _ in "ab"]
    keys = {"admin": machines.key("admin", "office")}
    for replica in replicas:
        replica.opened()
    with ExitStack() as ended:

        def client(replica: Serving, **headers: str) -> httpx.Client:
            return ended.enter_context(httpx.Client(base_url=replica.url, headers=headers, timeout=60))

        made = [
            Place(one, client(one), client(one, Origin=one.url, **{"HX-Request": "true"}), keys)
            for one in replicas
        ]
        for role, source, channel in (
            ("agent", "ines.costa", None),
            ("publish", "web-shop", None),
            ("channel", "mailer", "email"),
            ("read-scores", "crm", None),
        ):
            body = {"role": role, "source": source, **({"channel": channel} if channel else {})}
            answer = made[0].http.post("/v1/keys", json=body, headers=made[0].as_of("admin"))
            assert answer.status_code == 201, answer.text
            keys[role] = answer.json()["key"]
        one, other = made
        eventually(
            lambda: other.http.get("/v1/scorecards", headers=other.as_of("read-scores")).status_code == 200
        )
        one.agent.headers.pop("HX-Request")
        one.done("/desk/sign-in", 303, key=keys["agent"])
        one.agent.headers.update({"X-CSRF-Token": token_of(one.agent), "HX-Request": "true"})
        other.agent.cookies.set(COOKIE, one.agent.cookies[COOKIE], path="/desk")
        other.agent.headers["X-CSRF-Token"] = one.agent.headers["X-CSRF-Token"]
        one.publish(happened("order_placed", "first", 3, order_id="first", total=90, currency="EUR"))
        first = everywhere((one, other), "user_id", "first")
        eventually(lambda: all(first in counted(at) for at in made))
        one.watched = other.watched = now()
        yield one, other


def eventually(true: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (found := true()):
        assert time.monotonic() < deadline, "it never held"
        time.sleep(0.1)
    return found


def events_of(answer: httpx.Response) -> Iterator[tuple[str, str, str]]:
    """(name, id, data) of each event of a stream; comments, which keep it open, are guarded against."""
    assert answer.status_code == 200
    fields: dict[str, str] = {}
    deadline = time.monotonic() + SECONDS
    for line in answer.iter_lines():
        assert time.monotonic() < deadline, "it never came"
        name, _, value = line.partition(":")
        if name:
            value = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{value}" if name == "data" and "data" in fields else value
        elif line == "" and fields:
            yield fields.get("event", ""), fields.get("id", ""), fields.get("data", "")
            fields = {}
    raise AssertionError("the stream ended")


def everywhere(places: Places, type: str, value: str, touchpoints: int = 1) -> str:
    """His id, once every replica knows of that many touchpoints of his."""

    def known(at: Place) -> Any:
        card = at.knows(type, value)
        return card if card is not None and card["touchpoints"] >= touchpoints else None

    (id,) = {eventually(lambda at=at: known(at))["customer"] for at in places}  # type: ignore[misc]
    return str(id)


def test_what_an_agent_does_at_one_replica_stands_once_on_the_page_of_the_other(places: Places) -> None:
    one, other = places
    one.publish(
        happened("identified", "ida", 9, traits={"name": "Ida Berg"}),
        happened("survey_answered", "ida", 1, nps=2, text="Slow."),
    )
    id = everywhere(places, "user_id", "ida", 2)
    path = f"/desk/customers/{id}"
    (feedback,) = one.items(id, type="survey_answered")

    form = {"token": field_of(part_of(one.shown(path), "note-form"), "token"), "text": "Called her back."}
    mood = {**about(feedback), "mood": "sad"}
    mood["token"] = field_of(one.agent.get(f"{path}/mood", params=about(feedback)).text, "token")
    for at in (one, other):  # sent again, and a balancer leads it elsewhere
        assert "Saved" in words_of(at.done(f"{path}/note", **form).text)
        assert words_of(at.done(f"{path}/mood", **mood).text) == "Tagged: sad"
        assert words_of(at.done(f"{path}/acknowledge", **about(feedback)).text) == "Acknowledged"
    everywhere(places, "user_id", "ida", 5)

    for at in places:
        for type in ("note_added", "emotion_observed", "feedback_acknowledged"):
            (item,) = at.items(id, type=type)
            assert item["actor"] == {"kind": "agent", "name": "ines.costa"}
        page = words_of(at.shown(path))
        assert page.count("Called her back.") == 1
    assert words_of(one.shown(f"{path}/timeline?f=1")) == words_of(other.shown(f"{path}/timeline?f=1"))


def test_a_link_or_unlink_that_one_replica_previews_another_does_as_it_was_said(places: Places) -> None:
    one, other = places
    mail = "karl@example.test"
    one.publish(
        happened("order_placed", "karl", 20, order_id="k-1"),
        happened("complaint_raised", {"email": mail}, 10, text="No."),
        happened("promise_kept", {"email": mail}, 5, promise_id="k"),
    )
    id, his = everywhere(places, "user_id", "karl"), everywhere(places, "email", mail, 2)
    link = {"act": "link", "type": "email", "value": mail, "reason": "He said so."}

    def asked(at: Place, customer: str, token: str, **fields: Any) -> str:
        return at.done(f"/desk/customers/{customer}/linking", step="preview", token=token, **fields).text

    token = field_of(one.shown(f"/desk/customers/{id}/linking"), "token")
    preview = asked(one, id, token, **link)
    assert table(preview)["Touchpoints"] == ["1", "2", "3"]
    assert one.knows("email", mail)["customer"] == his, "a preview changes nothing"
    done = other.done(
        f"/desk/customers/{id}/linking", 303, step="do", **link | {"token": field_of(preview, "token")}
    )
    joined = everywhere(places, "email", mail, 4)
    assert done.headers["location"] == f"/desk/customers/{joined}"
    assert joined == everywhere(places, "user_id", "karl", 4)
    assert len(members(one.agent, joined)) == 2

    (apart,) = (
        member for words, member in members(other.agent, joined).items() if words.startswith("E-mail")
    )
    unlink = {"act": "unlink", "apart": [apart], "reason": "It is his wife's."}
    token = field_of(other.shown(f"/desk/customers/{joined}/linking"), "token")
    preview = asked(other, joined, token, **unlink)
    whole, stays, goes = table(preview)["Touchpoints"]
    assert (whole, int(stays) + int(goes)) == ("4", 4)
    one.done(
        f"/desk/customers/{joined}/linking", 303, step="do", **unlink | {"token": field_of(preview, "token")}
    )
    for at in places:
        eventually(
            lambda at=at: at.knows("email", mail)["customer"] != at.knows("user_id", "karl")["customer"]
        )
        assert at.knows("email", mail)["touchpoints"] == int(goes)
        assert at.knows("user_id", "karl")["touchpoints"] == int(stays) + 1  # the decision is his too


def test_a_reveal_at_any_replica_goes_into_one_trail_which_is_whole_and_tells_whom_he_opened(
    places: Places, machines: Machines
) -> None:
    names = ["nora", "nils"]
    for at, name in zip(places, names, strict=True):
        who = {"user_id": name, "email": f"{name}@example.test"}
        at.publish(happened("identified", who, 3, traits={"name": f"{name.title()} Lund"}))
    ids = [everywhere(places, "user_id", name) for name in names]
    for at, id, name in zip(places, ids, names, strict=True):
        assert f"{name}@" not in at.shown(f"/desk/customers/{id}")
        member = next(
            item["id"] for item in at.get(f"/v1/customers/{id}")["identifiers"] if item["type"] == "email"
        )
        shown = at.done(f"/desk/customers/{id}/reveal/{member}")
        assert words_of(shown.text) == f"{name}@example.test"

    for at in places:  # whom he opened last, wherever it was
        eventually(lambda at=at: set(ids) <= {*re.findall(r"[0-9a-f]{32}", at.done("/desk/find", q="").text)})
    verdict = machines.run("audit", "verify")
    assert verdict["whole"]
    acts = machines.run("audit", "list")["items"]
    revealed = [item for item in acts if item["act"] == "revealed"]
    assert [item["customer"] for item in revealed[::-1]] == ids
    assert {item["name"] for item in revealed} == {"ines.costa"}
    assert "example.test" not in json.dumps(acts)
    assert machines.run("audit", "verify", "--head", verdict["head"])["whole"]


def test_a_live_page_whose_replica_goes_is_led_on_by_the_other_without_a_gap(places: Places) -> None:
    one, _ = places
    one.publish(happened("note_taken", "rosa", 1, text="first"))
    id = everywhere(places, "user_id", "rosa")
    path = f"/desk/customers/{id}"
    page, last = one.shown(path), ""
    seen = keys_in(page)
    for turn, (at, elsewhere) in enumerate((places, places[::-1], places)):
        elsewhere.publish(happened("order_placed", "rosa", 0, order_id=f"away-{turn}"))  # while he is cut off
        headers = {"Last-Event-ID": last} if last else {}
        with at.agent.stream("GET", live_of(page), headers=headers) as answer:
            elsewhere.publish(happened("order_placed", "rosa", 0, order_id=f"there-{turn}"))
            new: list[str] = []
            for name, token, data in events_of(answer):
                if name == "touchpoint":
                    new, last = [*new, *keys_in(data)], token
                elif name == "standing" and f"{3 + 2 * turn} touchpoints" in words_of(data):
                    break  # it is told after the cards
        seen += new
    assert len(seen) == 7
    for at in places:
        assert sorted(seen) == sorted(keys_in(at.shown(f"{path}/timeline?f=1")))


def test_a_decision_asked_for_at_either_replica_is_told_with_its_reasons_by_both(places: Places) -> None:
    one, other = places
    one.publish(happened("identified", "otto", 30, traits={"name": "Otto Wahl"}))
    id = everywhere(places, "user_id", "otto")
    decided = []
    for number, at in enumerate((one, other, one)):
        body = {"ref": "user_id:otto", "channel": "email", "purpose": "offer", "id": f"offer-{number}"}
        eventually(
            lambda at=at, body=body: (
                at.http.post("/v1/contact:reserve", json=body, headers=at.as_of("channel")).status_code != 503
            )
        )  # until one of them has the duty
        decided.append(at.post("/v1/contact:reserve", body, "channel"))
    assert [one["decision"] for one in decided] == ["reserved", "deferred", "deferred"]
    other.post("/v1/contact:confirm", {"reservation": decided[0]["id"], "message_id": "m-1"}, "channel")
    receipts = []
    for at in places:
        eventually(lambda at=at: len(at.items(id, type="contact_deferred")) == 2)
        cards = at.shown(f"/desk/customers/{id}/timeline?f=1&type=contact_deferred")
        assert words_of(cards).count("We put a message off") == 2
        (kept,) = at.items(id, type="contact_reserved")
        eventually(
            lambda at=at, kept=kept: (
                "Went out" in words_of(at.shown(f"/desk/customers/{id}/touchpoints/{kept['key']}"))
            )
        )
        receipts.append(words_of(at.shown(f"/desk/customers/{id}/touchpoints/{kept['key']}")))
        banner = words_of(part_of(at.shown(f"/desk/customers/{id}/now"), "now"))
        assert "limit reached: offers a week" in banner
    assert receipts[0] == receipts[1]
    assert "Policy version shop-1" in receipts[0]


def test_the_overview_and_a_back_test_of_both_replicas_say_the_same(places: Places) -> None:
    one, other = places
    one.publish(
        happened("identified", "emil", 9, traits={"name": "Emil Falk"}),
        happened("chat_message_sent", "emil", 4, text="Where is it?", thread="e", channel="email"),
        happened("complaint_raised", "emil", 2, reason="late_delivery", text="No."),
        *(happened("order_placed", "emil", 9 + day, order_id=f"e-{day}", total=50, currency="EUR")
          for day in range(0, 40, 10)),
    )  # fmt: skip
    everywhere(places, "user_id", "emil", 7)

    def overview(at: Place) -> dict[str, str]:
        """Its sections by their headings' ids, without the rates, which move as one looks."""
        page = at.shown("/desk/overview/live")
        found = re.findall(r'<section [^>]*aria-labelledby="(o\w)">(.*?)</section>', page, re.S)
        return {name: words_of(text) for name, text in found if name in ("o1", "o3", "o4", "o5")}

    def same() -> bool:
        mine, his = overview(one), overview(other)
        return mine == his and "Emil Falk Where is it?" in mine["o1"] and "ate delivery" in mine["o4"]

    eventually(same)
    assert len(overview(one)) == 4

    page = one.agent.get("/desk/scorecards", params={"candidate": "loyalty"}).text
    live = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", page, re.S)
    assert live is not None
    text = html.unescape(live[1])
    tried = [
        words_of(
            last_piece(at.agent.post("/desk/scorecards/backtest", data={"beside": "loyalty", "text": one}))
        )
        for one in (text, text.replace("weight: 10000", "weight: 1000", 1))
        for at in places
    ]
    assert tried[0] == tried[1]
    assert "Nobody’s value and nobody’s tier changes." in tried[0]
    assert tried[2] == tried[3]
    assert "Emil Falk" in tried[2]


@dataclass
class Mirror:
    """Who keeps up with how everybody's loyalty stands by the feed of changes, wherever he is led."""

    token: str = ""
    knows: dict[str, Any] = field(default_factory=dict)
    anew: int = 0

    def begin(self, at: Place) -> None:
        page = at.get("/v1/customers", "read-scores", score="loyalty", limit=500)
        self.token, self.knows = page["changes_from"], stood(page)
        self.anew += 1

    def follow(self, at: Place, until: Callable[[], bool]) -> None:
        """Reads on with the last token, until it holds; then his connection is cut. Told to begin anew he does."""
        while not self._followed(at, until):
            self.begin(at)

    def _followed(self, at: Place, until: Callable[[], bool]) -> bool:
        headers = at.as_of("read-scores") | {"Last-Event-ID": self.token}
        with at.http.stream("GET", "/v1/changes", params={"score": "loyalty"}, headers=headers) as answer:
            for name, token, data in events_of(answer):
                if name == "reload":
                    return False
                self.token = token
                if name == "change":
                    self._hear(json.loads(data))
                if until():
                    return True
        return False

    def _hear(self, change: Any) -> None:
        if change["gone"]:
            self.knows.pop(change["customer"], None)
        else:
            self.knows[change["customer"]] = change["scores"]["loyalty"]["after"]["value"]


def stood(page: Any) -> dict[str, Any]:
    return {one["customer"]: one["value"] for one in page["items"]}


def test_who_reads_changes_on_at_the_other_replica_misses_none(places: Places) -> None:
    mirror = Mirror()

    def bought(at: Place, name: str) -> set[str]:
        """Three new customers."""
        who = [f"{name}-{number}" for number in range(3)]
        at.publish(*(happened("order_placed", one, 3, order_id=one, total=90, currency="EUR") for one in who))
        return {everywhere(places, "user_id", one) for one in who}

    def turn(here: Place, there: Place, name: str) -> None:
        """Some buy while he is cut off, others after he heard of the first."""
        ids = bought(there, f"{name}-away")
        mirror.follow(here, lambda: bool(ids & mirror.knows.keys()))
        ids |= bought(there, f"{name}-between")
        mirror.follow(here, lambda: ids <= mirror.knows.keys())

    mirror.begin(places[0])
    turn(places[1], places[0], "young")
    begun = mirror.anew  # once more, where a replica watches for less than it goes back for another's reader
    time.sleep(max(0.0, (places[0].watched + OTHERS_MARGIN_MS - now()) / 1_000))
    bought(places[0], "waited")
    eventually(lambda: reaches_back(places))
    mirror.begin(places[0])
    for number in range(1, 6):
        here, there = places[:: -1 if number % 2 else 1]
        turn(here, there, f"turn-{number}")
    assert begun <= 2
    assert mirror.anew == begun + 1, "nobody was told to begin anew"
    for at in places:
        eventually(
            lambda at=at: (
                stood(at.get("/v1/customers", "read-scores", score="loyalty", limit=500)) == mirror.knows
            )
        )


def reaches_back(places: Places) -> bool:
    """Whether every replica still has what is asked of it by a reader whom another one leads on from now."""
    tokens = [at.get("/v1/customers", "read-scores", score="loyalty")["changes_from"] for at in places]
    return all(int(one.split(".")[-1]) - OTHERS_MARGIN_MS >= places[0].watched for one in tokens)


def counted(at: Place) -> str:
    """Whom it lists; empty where it has not seen everybody yet."""
    answer = at.http.get("/v1/customers", params={"score": "loyalty"}, headers=at.as_of("read-scores"))
    return answer.text if answer.status_code == 200 else ""
