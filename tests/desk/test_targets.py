"""Until when a request is to be answered: the same wherever it is told."""

from __future__ import annotations

from pathlib import Path

from tests.clocks import BEGIN, HOUR, MINUTE, a_company
from touchbook.api.desk.matters import matters_of
from touchbook.api.desk.overview import request_of
from touchbook.projections.overview import Overview
from touchbook.projections.situation import situation_of

POLICY = """
policy: 1
versions:
- version: hours-1
  from: 1970-01-01
  reply:
    targets:
    - {purposes: [service], channels: [web_chat], hours: "09:00-18:00", within: 15m}
    - {purposes: [service], within: 1h}
    - {channels: [email], within: 24h}
    - {within: 4h}
    ignored_after: 72h
"""
WITHIN = {
    ("service", "web_chat", 10): 15 * MINUTE,
    ("service", "web_chat", 3): HOUR,
    ("service", "email", 10): HOUR,
    ("offer", "email", 10): 24 * HOUR,
    (None, "web_chat", 10): 4 * HOUR,
}


def test_the_banner_the_overview_and_what_is_about_to_be_late_agree_on_channel_purpose_and_hour(
    tmp_path: Path,
) -> None:
    with a_company(tmp_path, policy=POLICY) as company:
        book = company.book
        expected = {}
        for number, ((purpose, channel, hour), within) in enumerate(WITHIN.items()):
            company.time.at = at = BEGIN + hour * HOUR
            said = {"thread": f"t-{number}", "text": "?", "actor": {"kind": "customer"}}
            told = {} if purpose is None else {"purpose": purpose}
            key = company.hears("chat_message_sent", {**said, **told}, channel=channel, at=at)
            expected[key] = at + within
        company.time.at = BEGIN + 3 * HOUR
        company.folded()
        book.watch.look()
        now = company.time.at

        customer = book.customers.find("user_id:ann")
        situation = situation_of(book.customers, customer, now // (24 * HOUR))
        matters = matters_of(situation.settings, situation.requests, book.policies, now)
        assert {one.touchpoints[0]: one.due for one in matters} == expected

        overview = Overview(book.projections, book.customers, book.watch, company.time)
        requests = [request_of(one, now, "en", book.policies) for one in overview.waiting(10)]
        assert {one.waiting.touchpoint: one.target for one in requests} == expected

        assert {one.opening: one.late_at for one in book.watch.about_to_be_late(now)} == expected
