"""The demo: the story it tells, the doors it tells it through, and the command as its users run it."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.commands import answer, run, started
from touchbook.cli.demo import open_in_browser, settle
from touchbook.cli.serve import Running, running
from touchbook.cli.story import POLICY, SOURCES, Live, Story, Told, history
from touchbook.cli.story.lives import LIVES, life_of
from touchbook.cli.story.pen import KIOSK
from touchbook.cli.story.people import fictional_phone
from touchbook.cli.telling import Services, keys_for_services
from touchbook.schemas.touchpoints import TYPES
from touchbook.settings import settings_from
from touchbook.wiring import now

A_DAY_IN_MAY = 1_778_000_000_000
SEED = 7
ENOUGH_FOR_A_KIOSK = 75
NOTICED = {
    "request_answered", "request_late", "request_ignored", "promise_overdue", "case_silent", "stage_stuck",
    "score_tier_changed",
}  # fmt: skip
"""What the clock alone tells."""
DECIDED = {
    "contact_reserved",
    "contact_confirmed",
    "contact_released",
    "contact_deferred",
    "contact_suppressed",
}
"""What is told where somebody asked whether he may speak."""


@pytest.fixture(scope="module")
def story() -> Story:
    return history(ENOUGH_FOR_A_KIOSK, SEED, now())


# The story


def test_the_same_seed_tells_the_same_story_and_another_seed_another() -> None:
    assert history(30, SEED, A_DAY_IN_MAY) == history(30, SEED, A_DAY_IN_MAY)
    assert history(30, SEED, A_DAY_IN_MAY).told != history(30, SEED + 1, A_DAY_IN_MAY).told


def test_the_live_touchpoints_follow_from_the_seed_too() -> None:
    cast = history(24, SEED, A_DAY_IN_MAY).cast

    def trickle() -> list[Told]:
        live = Live(cast, SEED)
        return [live.next(A_DAY_IN_MAY + 1500 * turn) for turn in range(100)]

    assert trickle() == trickle()


def test_nothing_is_told_before_it_has_happened_and_nothing_twice(story: Story) -> None:
    assert all(told.at < now() for told in story.told)
    assert len({(told.source, told.id) for told in story.told}) == len(story.told)


def test_every_type_of_every_family_is_told(story: Story) -> None:
    assert {told.type for told in story.told} == set(TYPES) - NOTICED - DECIDED


def test_a_dozen_channels_and_every_service_tell_it(story: Story) -> None:
    assert len({told.shown_channel for told in story.told}) >= 12
    assert {told.source for told in story.told} == set(SOURCES)


def test_every_life_is_led_in_both_languages_however_few_the_customers_are() -> None:
    fewest = history(2 * len(LIVES), SEED, A_DAY_IN_MAY)
    lives = {(life_of(one.number, SEED), one.language) for one in fewest.cast}
    assert lives == {(life, language) for life, _ in LIVES for language in ("en", "ru")}


def test_a_demo_of_the_usual_size_has_some_twenty_thousand_touchpoints() -> None:
    assert 15_000 <= len(history(300, SEED, A_DAY_IN_MAY).told) <= 30_000


def test_addresses_and_numbers_can_belong_to_nobody(story: Story) -> None:
    emails = {one for person in story.cast for one in (person.email, person.old_email)}
    assert all(re.fullmatch(r"[a-z.]+\d+@(old-mail\.)?example\.test", one) for one in emails)
    assert len(emails) == 2 * len(story.cast)


def test_five_thousand_numbers_are_all_reserved_for_fiction_and_all_different() -> None:
    numbers = [fictional_phone(number) for number in range(5000)]
    assert all(re.fullmatch(r"\+447700900\d{3}|\+1\d{3}55501\d\d", one) for one in numbers)
    assert len(set(numbers)) == 5000


# Through the doors


class Shop:
    """A server that was told the story."""

    def __init__(self, server: Running, services: Services) -> None:
        self.server = server
        self.services = services
        self.customers = server.book.customers

    def total(self, name: str) -> int:
        return self.server.book.metrics.total(name)

    def card(self, ref: str) -> dict[str, Any]:
        return self.customers.card(self.customers.find(ref))

    def context(self, life: str, story: Story, purpose: str = "offer") -> dict[str, Any]:
        customer = self.customers.find(f"user_id:{story.star(life).user_id}")
        return self.customers.context(customer, purpose, now())


@pytest.fixture(scope="module")
def shop(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    settings = settings_from(
        data=tmp_path_factory.mktemp("shop"), port=0, log_level="error", policy=POLICY, sweep_share=1.0
    )
    with (
        running(settings) as server,
        Services(server.url, keys_for_services(server.book.control)) as services,
    ):
        told = Shop(server, services)
        services.tell(story.told)
        settle(server.book)
        yield told


def test_what_nobody_published_the_clock_notices(shop: Shop) -> None:
    records = shop.server.book.journal.read(limit=100_000)
    assert {one.type for one in records if one.source == "touchbook"} >= NOTICED - {
        "stage_stuck", "score_tier_changed",
    }  # fmt: skip
    assert shop.total("verdicts") == sum(one.source == "touchbook" for one in records)


def test_every_touchpoint_is_accepted_and_every_live_one_too(shop: Shop, story: Story) -> None:
    live = Live(story.cast, SEED)
    trickle = [live.next(now()) for _ in range(200)]
    before = shop.total("accepted")
    assert before == len(story.told)

    shop.services.tell(trickle)

    assert shop.services.failures == []
    assert shop.total("accepted") == before + 200
    refused = shop.total("refused")  # by a busy machine; clients send that again, and it counts once
    assert shop.total("received") == shop.total("accepted") + refused
    assert [shop.total(name) for name in ("duplicates", "rejected")] == [0, 0]


def test_what_a_visitor_did_belongs_to_the_customer_he_became(shop: Shop, story: Story) -> None:
    newcomer = story.star("newcomer")
    as_visitor = shop.card(f"anonymous_id:{newcomer.anonymous_id}")
    assert as_visitor["customer"] == shop.card(f"user_id:{newcomer.user_id}")["customer"]


def test_a_household_stays_two_customers_and_says_what_was_refused(shop: Shop, story: Story) -> None:
    one, other = (shop.card(f"user_id:{story.star(life).user_id}") for life in ("steady", "newcomer"))
    assert one["customer"] != other["customer"]
    assert one["refused_links"]["count"] + other["refused_links"]["count"] >= 1


def test_the_kiosk_in_the_shop_links_nobody(shop: Shop, story: Story) -> None:
    shared = {one.identifiers["user_id"] for one in story.told if "kiosk" in one.identifiers}
    assert len(shared) > 20
    kiosk = shop.card(f"device:{KIOSK}")
    assert [(one["type"], one["value"]) for one in kiosk["identifiers"]] == [("device", KIOSK)]


def test_a_phone_that_an_agent_linked_brings_its_orders(shop: Shop, story: Story) -> None:
    hunter = story.star("bargain_hunter")
    known_by_phone = shop.customers.lookup("phone", hunter.phone)
    assert known_by_phone.id == shop.customers.find(f"user_id:{hunter.user_id}").id


def test_who_was_let_down_has_open_matters_and_little_trust(shop: Shop, story: Story) -> None:
    context = shop.context("let_down", story)
    matters = context["open"]
    assert matters["cases"]
    assert matters["requests"]
    assert {"broken", "overdue"} <= {promise["state"] for promise in matters["promises"]}
    assert context["scores"]["trust"]["tier"] in ("broken", "doubtful")


def test_who_was_overmailed_may_not_be_sent_another_offer(shop: Shop, story: Story) -> None:
    context = shop.context("overmailed", story)
    assert context["scores"]["fatigue"]["tier"] == "exhausted"
    assert not context["contact"]["email"]["allowed"]


def test_who_is_devoted_is_devoted(shop: Shop, story: Story) -> None:
    scores = shop.context("devoted", story)["scores"]
    assert (scores["loyalty"]["tier"], scores["churn_risk"]["tier"]) == ("devoted", "low")


# The command


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the demo makes its temporary directories."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    return place


FEW = ("demo", "--customers", 24, "--port", 0)


def said(process: subprocess.Popen[str], until: str) -> list[str]:
    """The lines the command writes, up to the one that begins so."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if line.startswith(until):
            return lines
    raise AssertionError(process.communicate()[1])


def interrupted(process: subprocess.Popen[str], by: signal.Signals = signal.SIGINT) -> str:
    """Ends it by Ctrl-C, or another signal; what it says to that."""
    process.send_signal(by)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 0, messages
    return messages


def pasted(line: str) -> httpx.Response:
    """What a curl line answers, if it is one of the plain form that the demo prints."""
    curl, silent, header_option, header, address = shlex.split(line)
    assert (curl, silent, header_option) == ("curl", "-s", "-H")
    name, _, value = header.partition(": ")
    with httpx.Client(trust_env=False) as client:
        return client.get(address, headers={name: value})


def test_a_browser_is_opened_only_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: bool(opened.append(address)) or True)
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)

    open_in_browser("http://127.0.0.1:1/desk")
    assert opened == []
    monkeypatch.setenv("DISPLAY", ":0")
    open_in_browser("http://127.0.0.1:2/desk")
    assert opened == ["http://127.0.0.1:2/desk"]


def test_the_lines_it_prints_work_and_ctrl_c_leaves_nothing_behind(temporary: Path) -> None:
    process = started(*FEW)
    lines = said(process, until="Ctrl-C")
    curl = [line.strip() for line in lines if line.strip().startswith("curl")]
    context, scores, explained = (pasted(line) for line in curl)

    assert context.json()["open"]["cases"]
    assert set(context.json()["scores"]) == set(scores.json()["scores"])
    told = explained.json()
    assert sum(one["milli_points"] for one in told["contributions"]) == told["score"]["milli_points"]
    assert told["with"]["score"]["milli_points"] > told["score"]["milli_points"]
    opened = [line.split()[0] for line in lines if "/docs " in line or "/desk " in line]
    with httpx.Client(trust_env=False, follow_redirects=True) as client:
        assert [client.get(address).status_code for address in opened] == [200, 200]

    assert [one.name for one in temporary.iterdir() if one.name.startswith("touchbook-demo-")]
    assert "nothing is left behind" in interrupted(process)
    assert list(temporary.iterdir()) == []


def test_live_touchpoints_follow_and_the_counters_add_up(temporary: Path) -> None:
    process = started(*FEW, "--json")
    shown = json.loads(said(process, until="{")[-1])
    counts = shown["touchpoints"]
    assert counts["sent"] == counts["accepted"] == counts["received"] - counts["refused"]
    assert counts["duplicates"] == 0
    assert shown["failures"] == []
    with httpx.Client(base_url=shown["url"], trust_env=False) as client:
        while accepted(client) < counts["accepted"] + 2:
            time.sleep(0.1)
    interrupted(process)


def accepted(client: httpx.Client) -> int:
    found = re.findall(r"^touchbook_accepted_total\{.*\} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return int(sum(map(float, found)))


def test_kept_data_can_be_read_after_the_demo_has_ended(temporary: Path) -> None:
    process = started(*FEW, "--keep", "--no-trickle", "--json")
    shown = json.loads(said(process, until="{")[-1])
    messages = interrupted(process)
    assert f"touchbook serve --data {shown['data']}" in messages
    timeline = answer("timeline", shown["look_at"][0]["ref"], "--data", shown["data"])
    assert timeline["items"]


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_while_it_publishes_it_leaves_nothing_behind(temporary: Path, by: signal.Signals) -> None:
    process = started("demo", "--port", 0)
    while not list(temporary.glob("touchbook-demo-*/*journal*")):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    interrupted(process, by)
    assert list(temporary.iterdir()) == []


def test_a_directory_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    result = run(*FEW, "--data", tmp_path)
    assert result.exit_code == 2
    assert "--data" in result.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["letter.txt"]
