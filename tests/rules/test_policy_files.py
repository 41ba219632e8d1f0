"""Policy files: what ships is read and says what is promised; what is wrong is named by file and line."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchbook.calendar import ALWAYS, Calendar
from touchbook.errors import PolicyInvalid
from touchbook.policy import (
    DAY,
    HOUR,
    MINUTE,
    Cadence,
    Cap,
    Cases,
    Contacts,
    Owed,
    Policies,
    Quiet,
    Target,
    Usual,
    within_hours,
)
from touchbook.policy_files import load_policies, read_policies

FULL = """\
policy: 1
versions:
- version: shop-1
  from: 2026-01-01
- version: shop-2
  from: 2026-03-01
  grace: 10m
  company:
    zone: Europe/Riga
    hours: {mon-fri: "09:00-18:00", sat: ["10:00-12:00", "13:00-24:00"]}
    holidays: [2026-12-25, --01-01, "--11-18"]
  reply:
    targets:
    - {channels: [web_chat], purposes: [support], within: 15m}
    - {channels: [web_chat], hours: "18:00-09:00", within: 12h}
    - {within: 8h, time: working}
    ignored_after: 3d
  promises: true
  cases: {silent_after: 5d, time: working}
  stages: {times: 3, least: 1d, known: 5, usual: {"order:shipped": 4d}}
  contact:
    hold: 10m
    consent: {offer: required, teach: withdrawal}
    bypass: {legal: [caps, do_not_contact]}
    counts: {service: true, legal: false}
    quiet: {from: "22:00", to: "08:00"}
    fatigue:
      exhausted: deny
      tired:
        caps:
        - {name: tired week, most: 1, window: 7d}
    caps:
    - {name: offers, most: 2, window: 7d, channels: [email], purposes: [offer], tags: [sale, news], soft: true}
    - {name: day, most: 0, per: day}
    frequency: {weekly: 8d, never: deny}
    languages: any
    cadence:
    - {name: hello, every: 90d, purposes: [welcome]}
"""


def test_the_shipped_policy_answers_contact_as_where_a_file_says_nothing() -> None:
    (standard,) = Policies.standard().versions
    assert (standard.version, standard.since, standard.contact) == ("standard-1", 0, Contacts())
    assert Policies.standard() == load_policies()


def test_a_file_is_read_to_the_last_word() -> None:
    older, policy = read_policies("shop.yaml", FULL).versions
    assert (older.reply, older.promises, older.cases, older.stages) == (None, False, None, None)
    assert (older.contact, older.calendar) == (Contacts(), Calendar())
    assert (policy.version, policy.grace, policy.promises) == ("shop-2", 10 * MINUTE, True)
    weekday = ((540, 1080),)
    assert policy.calendar == Calendar(
        "Europe/Riga",
        (*[weekday] * 5, ((600, 720), (780, 1440)), ()),
        (date(2026, 12, 25),),
        ((1, 1), (11, 18)),
    )
    assert policy.reply is not None
    assert policy.reply.targets == (
        Target(15 * MINUTE, "calendar", ("web_chat",), ("support",)),
        Target(12 * HOUR, "calendar", ("web_chat",), (), (1080, 540)),
        Target(8 * HOUR, "working"),
    )
    assert policy.reply.ignored_after == 3 * DAY
    assert policy.cases == Cases(5 * DAY, "working")
    assert policy.stages is not None
    assert policy.stages.usual_of("order:shipped", {"order:shipped": Usual(4, HOUR)}) == 4 * DAY
    assert policy.stages.usual_of("order:shipped", {"order:shipped": Usual(5, HOUR)}) == HOUR
    contact = policy.contact
    assert contact == Contacts(
        hold=10 * MINUTE,
        consent={"offer": "required", "teach": "withdrawal"},
        bypass={"legal": ("caps", "do_not_contact")},
        counts={"service": True, "legal": False},
        quiet=Quiet(1320, 480),
        fatigue={"exhausted": "deny", "tired": (Cap("tired week", 1, window=7 * DAY),)},
        caps=(
            Cap("offers", 2, 7 * DAY, None, ("email",), ("offer",), ("sale", "news"), soft=True),
            Cap("day", 0, per="day"),
        ),
        frequency={"daily": DAY, "weekly": 8 * DAY, "monthly": 30 * DAY, "never": None},
        languages=None,
        cadence=(Cadence("hello", 90 * DAY, (), ("welcome",)),),
    )
    assert [contact.needs_consent(one) for one in ("offer", "teach", None)] == [True, False, False]
    assert [contact.counted(one) for one in ("service", "legal", "offer", None)] == [True, False, True, True]
    assert contact.bypasses("legal", "caps")
    assert not contact.bypasses("service", "caps")
    assert contact.caps[0].covers("email", "offer", ("news",))
    assert not contact.caps[0].covers("email", "offer", ())
    assert not contact.caps[0].covers("sms", "offer", ("news",))
    assert contact.caps[1].covers("sms", None, ())
    assert contact.cadence[0].covers("sms", "welcome")
    assert not contact.cadence[0].covers("sms", "offer")


def at(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days * DAY


def test_the_version_in_force_is_the_last_that_began() -> None:
    policies = read_policies("shop.yaml", FULL)
    asked = [at("2025-01-01"), at("2026-01-01"), at("2026-03-01") - 1, at("2026-03-01"), at("2027-01-01")]
    assert [policies.at(one).version for one in asked] == ["shop-1", "shop-1", "shop-1", "shop-2", "shop-2"]
    assert policies.named("shop-2") == policies.versions[1]
    assert policies.named("shop-3") is None


def test_the_first_target_that_fits_is_owed_by_channel_purpose_and_hour() -> None:
    policy = read_policies("shop.yaml", FULL).at(at("2026-07-01"))
    noon, night = at("2026-07-01") + 9 * HOUR, at("2026-07-01") + 20 * HOUR  # 12:00 and 23:00 in Riga
    assert policy.owed("web_chat", "support", night) == Owed(
        15 * MINUTE, "calendar", night + 15 * MINUTE, night + 3 * DAY
    )
    assert policy.owed("web_chat", None, night) == Owed(
        12 * HOUR, "calendar", night + 12 * HOUR, night + 3 * DAY
    )
    email = policy.owed("email", None, noon)
    assert email == policy.owed("web_chat", "offer", noon)
    assert email == Owed(8 * HOUR, "working", noon + 23 * HOUR, noon + 3 * DAY)


def test_nobody_is_ignored_before_his_reply_is_due() -> None:
    policy = read_policies("shop.yaml", FULL.replace("8h, time", "30h, time")).at(at("2026-07-01"))
    friday = at("2026-07-03") + 14 * HOUR
    owed = policy.owed("email", None, friday)
    assert owed is not None
    assert owed.ignored_at == owed.due > friday + 3 * DAY


def test_where_no_target_fits_nothing_is_owed() -> None:
    text = FULL.replace("    - {within: 8h, time: working}\n", "")
    assert read_policies("shop.yaml", text).at(at("2026-07-01")).owed("email", None, at("2026-07-01")) is None


@given(st.integers(0, 1439), st.integers(0, 1439), st.integers(0, 1439))
def test_hours_over_midnight_are_those_that_the_same_hours_by_day_leave_out(
    start: int, end: int, minute: int
) -> None:
    if start != end:
        assert within_hours((start, end), minute) != within_hours((end, start), minute)


def test_the_fingerprint_follows_what_is_said_and_not_how() -> None:
    plain = read_policies("shop.yaml", FULL).fingerprint
    assert read_policies("other.yaml", FULL.replace("8h", "480m") + "# more\n").fingerprint == plain
    assert read_policies("shop.yaml", FULL.replace("8h", "9h")).fingerprint != plain
    assert len({plain, Policies.standard().fingerprint}) == 2


def test_hours_may_be_always_and_quiet_hours_none() -> None:
    text = FULL.replace('{mon-fri: "09:00-18:00", sat: ["10:00-12:00", "13:00-24:00"]}', "always")
    text = text.replace('{from: "22:00", to: "08:00"}', "null").replace("[2026-12-25, --01-01,", "[")
    policy = read_policies("shop.yaml", text).versions[1]
    assert (policy.calendar.hours, policy.contact.quiet) == (ALWAYS, None)


WRONG = [
    ("policy: 1", "policy: 2", 1, "`policy` must be a whole number from 1 to 1"),
    ("policy: 1", "policy: 1\nrules: {}", 2, "has no `rules`; it can say policy, versions"),
    ("  from: 2026-01-01\n", "  from: 2026-01-01\n  hours: always\n", 5, "version 'shop-1' has no `hours`"),
    ("shop-2", "shop-1", 5, "the version 'shop-1' is in the file twice"),
    ("2026-03-01", "2026-01-01", 6, "`from` must be later than that of the one above"),
    ("2026-03-01", "spring", 6, "`from` must be a day as 2026-12-01"),
    ("  from: 2026-03-01\n", "", 5, "version 'shop-2' needs `from`"),
    ("grace: 10m", "grace: 10", 7, "`grace` must be a duration as 30s, 15m, 24h or 7d, from 0s to 1d"),
    ("grace: 10m", "grace: 2d", 7, "from 0s to 1d: how long a verdict waits"),
    ("grace: 10m", "grace: [10m]", 7, "`grace` must be a duration"),
    ("grace: 10m", "pause: 10m", 7, "has no `pause`; it can say version, from, grace, company, reply"),
    ("Europe/Riga", "Riga", 9, "'Riga' is no time zone; expected one as Europe/Riga"),
    ("Europe/Riga", "../Riga", 9, "is no time zone"),
    ("mon-fri", "mon-fry", 10, "'mon-fry' is no day of the week; expected mon, tue"),
    ("mon-fri", "fri-mon", 10, "'fri-mon' runs backwards; a week begins on Monday"),
    ("mon-fri", "mon-sat", 10, "says sat twice"),
    ('"09:00-18:00", sat', '"9-18", sat', 10, "`mon-fri` must be hours as \"09:00-18:00\", not '9-18'"),
    ('"09:00-18:00", sat', '"18:00-09:00", sat', 10, "say those over midnight on two days"),
    ("13:00-24:00", "11:00-24:00", 10, "'11:00-24:00' begins before the hours above it end"),
    ('{mon-fri: "09:00-18:00", sat: ["10:00-12:00", "13:00-24:00"]}', "{}", 10, "a week needs working hours"),
    ("2026-12-25", "Christmas", 11, "'Christmas' is no holiday; expected days as 2026-12-25, or --12-25"),
    ("--01-01", "--02-30", 11, "'--02-30' is no holiday"),
    (
        "{channels: [web_chat], purposes: [support], within: 15m}",
        "{channels: [web_chat]}",
        14,
        "needs `within`",
    ),
    ("[support]", "[help]", 14, "'help' is none of welcome, teach, support"),
    ("15m}", "4d}", 14, "`within` is later than `ignored_after`"),
    ("{channels: [web_chat], purposes: [support], within: 15m}", "{within: 15m}", 15, "never applies"),
    ("18:00-09:00", "09:00-09:00", 15, "`hours` begin and end at once"),
    ("8h, time: working", "8h, time: office", 16, "`time` must be calendar or working"),
    ("ignored_after: 3d", "ignored_after: 0s", 17, "`ignored_after` must be a duration"),
    ("promises: true", "promises: yes", 18, "`promises` must be true or false"),
    ("silent_after: 5d, ", "", 19, "needs `silent_after`"),
    ("times: 3", "times: 0", 20, "`times` must be a whole number from 1 to 1000"),
    ("order:shipped", "shipped", 20, "'shipped' is no stage; expected one as order:shipped"),
    ("hold: 10m", "hold: 2d", 22, "`hold` must be a duration as 30s, 15m, 24h or 7d, from 1s to 1d"),
    ("offer: required", "offer: maybe", 23, "`offer` must be required or withdrawal"),
    ("offer: required", "offer: true", 23, "`offer` must be required or withdrawal"),
    ("offer: required", "sale: required", 23, "has no `sale`; it can say welcome, teach"),
    ("[caps, do_not_contact]", "[cap]", 24, "'cap' is none of do_not_contact, consent"),
    ("service: true", "service: 1", 25, "`service` must be true or false"),
    ('from: "22:00"', 'from: "22"', 26, '`from` must be a time of day, as "22:00"'),
    ('"08:00"', '"22:00"', 26, "`quiet` begins and ends at once; say null"),
    ("exhausted: deny", "exhausted: never", 28, "`exhausted` must be deny, or caps"),
    ("      tired:\n        caps:", "      tired:\n        rules:", 30, "has no `rules`; it can say caps"),
    ("tired week, most: 1, window: 7d", "tired week, most: 1", 31, "needs either `window`"),
    ("most: 2, window: 7d,", "most: 2, window: 7d, per: day,", 33, "needs either `window`"),
    ("most: 2", "most: -1", 33, "cap 'offers': `most` must be a whole number from 0"),
    ("per: day", "per: year", 34, "`per` must be day or week or month"),
    ("name: day", "name: offers", 34, "two of `caps` are called 'offers'"),
    ("weekly: 8d", "hourly: 1h", 35, "has no `hourly`; it can say daily, weekly, monthly, never"),
    ("languages: any", "languages: all", 36, "`languages` must be content or any"),
    ("every: 90d, ", "", 38, "cadence 'hello' needs `every`"),
    ("every: 90d", "every: 1s", 38, "`every` must be a duration"),
    ("name: hello, ", "", 38, "needs `name`"),
]


@pytest.mark.parametrize(("right", "wrong", "line", "expected"), WRONG)
def test_what_is_wrong_is_named_by_file_line_field_and_what_was_expected(
    right: str, wrong: str, line: int, expected: str
) -> None:
    assert right in FULL
    with pytest.raises(PolicyInvalid) as caught:
        read_policies("shop.yaml", FULL.replace(right, wrong, 1))
    assert str(caught.value).startswith(f"shop.yaml, line {line}: ")
    assert expected in str(caught.value)


def test_a_tier_of_fatigue_that_there_is_not_is_named() -> None:
    tiers = ("fresh", "tired", "exhausted")
    assert read_policies("shop.yaml", FULL, tiers) == read_policies("shop.yaml", FULL)
    with pytest.raises(PolicyInvalid) as caught:
        read_policies("shop.yaml", FULL.replace("      tired:", "      tyred:"), tiers)
    assert str(caught.value) == (
        "shop.yaml, line 29: `fatigue` has no `tyred`; it can say fresh, tired, exhausted"
    )


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(PolicyInvalid, match="the file cannot be read: No such file"):
        load_policies(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyInvalid, match=r"latin\.yaml, line 1: the file must be UTF-8"):
        load_policies(tmp_path / "latin.yaml")


@given(st.text(max_size=60), st.integers(0, len(FULL)), st.integers(0, 40))
def test_whatever_a_file_holds_it_is_read_or_refused_with_its_line(said: str, place: int, gone: int) -> None:
    text = FULL[:place] + said + FULL[place + gone :]
    try:
        found: Policies | PolicyInvalid = read_policies("any.yaml", text)
    except PolicyInvalid as refused:
        found = refused
    if isinstance(found, PolicyInvalid):
        assert 1 <= found.line <= len(text) + 1
    else:
        assert found.versions


@pytest.mark.parametrize(
    "text", ["", "versions: []", "policy: 1\nversions: []", "- 1", "policy: 1\nversions: 3", "a: b: c"]
)
def test_a_file_without_versions_is_refused(text: str) -> None:
    with pytest.raises(PolicyInvalid):
        read_policies("shop.yaml", text)
