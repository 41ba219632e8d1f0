from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.api.serving import Server, chat, problem_of, track
from touchbook.api import models
from touchbook.api.operators import checks_of
from touchbook.projections.fold import Folder, projection_version
from touchbook.projections.watch import Watch
from touchbook.schemas.catalogue import CATALOGUE, Catalogue
from touchbook.schemas.mapping import Mapping
from touchbook.schemas.touchpoint import Identifier
from touchbook.streams.admission import IN_KAFKA
from touchbook.streams.control import SetAside
from touchbook.streams.rebuild import rebuild


def metrics_of(server: Server) -> dict[str, float]:
    """Every sample by its name and labels, as a scraper reads them."""
    families = text_string_to_metric_families(server.http.get("/metrics").text)
    samples = (sample for family in families for sample in family.samples)
    return {f"{one.name} {' '.join(sorted(one.labels.values()))}".strip(): one.value for one in samples}


def test_a_publisher_sees_what_was_set_aside_of_its_own_source_alone(server: Server) -> None:
    server.publish(track(type="trakc"))
    server.http.post(
        "/v1/track", json=track(type="tkarc"), headers=server.as_("publish", source="other-shop")
    )
    own = server.get("/v1/set-aside", role="publish").json()["items"]
    everything = server.get("/v1/set-aside", role="admin").json()["items"]
    assert [item["raw"]["type"] for item in own] == ["trakc"]
    assert [item["raw"]["type"] for item in everything] == ["tkarc", "trakc"]
    assert {item["source"] for item in everything} == {"web-shop", "other-shop"}


def test_a_key_that_sits_in_a_web_page_sees_nothing_of_what_was_set_aside(server: Server) -> None:
    server.publish(track(type="trakc"))
    answer = server.http.get(
        "/v1/set-aside", headers=server.as_("publish", origins=("https://shop.example.test",))
    )
    assert (answer.status_code, problem_of(answer)["code"]) == (403, "key_public")


def test_what_was_set_aside_is_listed_page_by_page(server: Server) -> None:
    server.publish(*(track(type=f"unknown-{number}") for number in range(5)))
    seen, cursor = [], ""
    while cursor is not None:
        page = server.get(f"/v1/set-aside?limit=2{cursor and '&cursor='}{cursor}", role="admin").json()
        models.SetAsideList.model_validate(page, strict=True)
        seen += [item["raw"]["type"] for item in page["items"]]
        cursor = page["next"]
    assert sorted(seen) == [f"unknown-{number}" for number in range(5)]


def test_what_was_set_aside_is_redriven_with_its_own_id_and_what_stays_broken_stays(server: Server) -> None:
    server.publish(track(messageId="m", properties={"order_id": "1"}))
    server.publish(track(messageId="m", properties={"order_id": "2"}), track(type="trakc"))
    for item in server.get("/v1/set-aside", role="admin").json()["items"]:
        answer = server.http.post(f"/v1/set-aside/{item['key']}:redrive", headers=server.as_("admin"))
        assert (answer.status_code, problem_of(answer)["set_aside"]) == (422, item["key"])
    assert server.book.control.count_set_aside() == 2


def test_what_a_fix_made_acceptable_is_accepted_by_a_redrive(server: Server) -> None:
    stranger = server.book.journal.id_of(Identifier("user_id", "77"))
    link = chat(type="link", source="desk", data={"link": [stranger, "user_id:42"]})
    early = server.http.post("/v1/events", json=link, headers=server.as_("agent", source="desk"))
    assert (early.status_code, problem_of(early)["code"]) == (422, "identifier_unknown")
    server.event(chat(data={"identifiers": {"user_id": "77"}, "thread": "t", "text": "Hello"}))
    redriven = server.http.post(
        f"/v1/set-aside/{early.json()['set_aside']}:redrive", headers=server.as_("admin")
    )
    models.Redriven.model_validate(redriven.json(), strict=True)
    assert redriven.json() == {"outcome": "accepted", "position": "j1.2", "code": None, "message": None}
    assert server.book.control.count_set_aside() == 0


def test_scorecards_and_schemas_are_there_for_every_key(server: Server) -> None:
    cards = server.get("/v1/scorecards", role="publish").json()
    models.Scorecards.model_validate(cards, strict=True)
    assert {card["name"] for card in cards["items"]} == set(server.book.scorecards)
    assert all(part["components"][0]["why"] for card in cards["items"] for part in card["parts"])
    listed = server.get("/v1/schemas", role="publish").json()
    models.Schemas.model_validate(listed, strict=True)
    assert {one["type"] for one in listed["items"]} == set(CATALOGUE)


def test_every_type_has_its_schema_and_its_samples(server: Server) -> None:
    for name in CATALOGUE:
        told = server.get(f"/v1/schemas/{name}", role="channel").json()
        models.SchemaOut.model_validate(told, strict=True)
        assert told["json_schema"]["$id"].endswith(f":{name}:{told['version']}")
        assert {sample["type"] for sample in told["samples"]} == {name}


def test_a_key_is_shown_once_and_kept_hashed(server: Server) -> None:
    wanted = {
        "role": "publish",
        "source": "kiosk",
        "channel": "store",
        "origins": ["https://kiosk.example.test"],
    }
    made = server.http.post("/v1/keys", json=wanted, headers=server.as_("admin"))
    assert made.status_code == 201
    models.NewKey.model_validate(made.json(), strict=True)
    secret = made.json()["key"]
    listed = server.get("/v1/keys", role="admin")
    models.KeyList.model_validate(listed.json(), strict=True)
    (kept,) = (key for key in listed.json()["items"] if key["source"] == "kiosk")
    assert kept == {name: value for name, value in made.json().items() if name != "key"}
    assert secret not in listed.text
    with sqlite3.connect(server.book.settings.data / "control.sqlite") as db:
        assert secret not in "\n".join(db.iterdump())
    revoked = server.http.delete(f"/v1/keys/{kept['id']}", headers=server.as_("admin"))
    models.KeyOut.model_validate(revoked.json(), strict=True)
    assert revoked.json()["revoked_at"] is not None


def test_a_key_bears_the_name_of_the_person_who_gets_it(server: Server) -> None:
    def asked(name: str) -> httpx.Response:
        wanted = {"role": "agent", "source": "desk", "name": name}
        return server.http.post("/v1/keys", json=wanted, headers=server.as_("admin"))

    assert asked("Ines Costa").json()["name"] == "Ines Costa"
    assert "Ines Costa" in {key["name"] for key in server.get("/v1/keys", role="admin").json()["items"]}
    assert (asked("two\nlines").status_code, problem_of(asked(""))["code"]) == (400, "name_invalid")


def test_a_server_that_no_longer_follows_is_up_but_not_ready(server: Server) -> None:
    models.Health.model_validate(server.http.get("/healthz").json(), strict=True)
    models.Readiness.model_validate(server.http.get("/readyz").json(), strict=True)
    server.book.follower.stop()
    answer = server.http.get("/readyz")
    problem = problem_of(answer)
    assert (answer.status_code, problem["code"]) == (503, "not_ready")
    assert problem["checks"]["journal"] == "ok"
    assert "stands still" in problem["checks"]["follower"]
    assert server.http.get("/healthz").status_code == 200


def test_a_journal_that_fails_names_what_it_lies_on(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    book = server.book
    monkeypatch.setattr(book.journal, "failing", lambda: "NoBrokersAvailable")
    assert "look at its disk" in checks_of(book)["journal"]
    on_kafka = book.settings.model_copy(update={"journal": "kafka://127.0.0.1:9092"})
    monkeypatch.setattr(book, "settings", on_kafka)
    monkeypatch.setattr(book.follower, "failing_because", "kafka timeout")
    found = checks_of(book)
    for name in ("journal", "follower"):
        assert "Kafka" in found[name]
        assert "disk" not in found[name]
    monkeypatch.setattr(book.follower, "failing_because", "OperationalError: database or disk is full")
    assert "disk is full" in checks_of(book)["follower"]


def test_an_item_that_came_by_a_topic_says_where_it_lay_there(server: Server) -> None:
    kept = SetAside(
        key="0" * 32,
        reason="data: expected an object",
        code="data_invalid",
        source="web-shop",
        channel=None,
        route=IN_KAFKA,
        inherited={
            "kafka": {"topic": "touchbook.ingress.web-shop", "partition": 2, "offset": 41, "headers": []}
        },
        received_at=1_700_000_000_000,
        raw=b"{}",
        sent_at=None,
    )
    server.book.control.set_aside([kept])
    server.publish(track(type="trakc"))
    page = server.get("/v1/set-aside", role="admin").json()
    models.SetAsideList.model_validate(page, strict=True)
    by_door, by_topic = page["items"]
    assert (by_topic["topic"], by_topic["partition"], by_topic["offset"]) == (
        "touchbook.ingress.web-shop",
        2,
        41,
    )
    assert not {"topic", "partition", "offset"} & by_door.keys()


def test_projections_built_with_other_mappings_are_told(server: Server, tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("Wheel spun: {signals: [content_useful]}\n")
    book, other = server.book, Catalogue(Mapping.load(mapping))
    folder = Folder(other, book.journal.open, book.journal.id_of)
    rebuild(book.settings.data, book.journal, folder, projection_version(other))
    answer = server.http.get("/readyz")
    assert answer.status_code == 503
    assert "touchbook rebuild" in problem_of(answer)["checks"]["projections"]
    rebuild(book.settings.data, book.journal, book.folder, book.version)
    assert server.http.get("/readyz").status_code == 200


def test_metrics_count_by_source_and_code(server: Server) -> None:
    call = track("chat_started")
    server.publish(call, call, track(type="trakc"))
    server.http.post("/v1/batch", content=b"{", headers=server.as_("publish"))
    server.http.post("/v1/batch", content=b"{")
    told = metrics_of(server)
    assert told["touchbook_received_total web-shop"] == 4
    assert told["touchbook_accepted_total web-shop"] == 1
    assert told["touchbook_duplicates_total web-shop"] == 1
    assert told["touchbook_rejected_total type_unknown web-shop"] == 1
    assert told["touchbook_refused_total json_invalid web-shop"] == 1
    assert told["touchbook_refused_total key_missing unknown"] == 1
    assert told["touchbook_set_aside"] == 1
    assert told["touchbook_append_seconds_count"] == 1
    assert told["touchbook_visible_seconds_count"] == 1
    for projection in ("entries", "ledger", "registers", "claims"):
        assert told[f"touchbook_lag_touchpoints {projection}"] == 0


def test_the_lag_is_what_reads_do_not_show_yet(server: Server) -> None:
    server.book.follower.stop()
    server.http.post("/v1/events", json=[chat(), chat()], headers=server.as_("publish"))
    assert metrics_of(server)["touchbook_lag_touchpoints entries"] == 2


def test_how_many_wait_to_be_looked_at_is_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watch, "lag", property(lambda watch: 7 if watch is server.book.watch else 0))
    assert metrics_of(server)["touchbook_watch_waiting"] == 7


def test_all_metrics_are_ours(server: Server) -> None:
    names = re.findall(r"^# HELP (\S+)", server.http.get("/metrics").text, re.MULTILINE)
    assert names
    assert all(name.startswith("touchbook_") for name in names)
