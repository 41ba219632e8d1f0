"""`touchbook policy`: a candidate policy read strictly, and tried on what happened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from touchbook.cli.exits import FAILED, Commands, WrongUse
from touchbook.cli.options import AsJson, Config, Data, JournalAt, ProjectionsAt, day_at, settings_of
from touchbook.cli.output import progress, say, show_json, show_rows

if TYPE_CHECKING:
    from touchbook.calendar import Calendar, Span
    from touchbook.policy import Cap, Policy, TimeKind

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Try a policy before anybody is treated by it.")

File = Annotated[Path, typer.Argument(metavar="FILE", help="A policy, in YAML.")]
DAYS = 30


@app.command()
def check(file: File, config: Config = None, as_json: AsJson = False) -> None:
    """Read a policy as the server would, and say what it promises and allows.

    Ends with 1 where a server would refuse the file, naming line and column.
    """
    from touchbook.errors import PolicyInvalid
    from touchbook.policy_files import load_policies
    from touchbook.wiring import catalogue_of, scorecards_of, tiers_of_fatigue

    settings = settings_of(config)
    _readable(file)
    tiers = tiers_of_fatigue(scorecards_of(settings, catalogue_of(settings)))
    try:
        policies = load_policies(file, tiers)
    except PolicyInvalid as error:
        wrong = {"file": error.where, "line": error.line, "column": error.column, "expected": error.expected}
        if as_json:
            show_json({"ok": False, "problem": wrong})
        say(f"{error.where}:{error.line}:{error.column}: {error.expected}")
        raise typer.Exit(FAILED) from None
    meaning = [_meaning(policy) for policy in policies.versions]
    if as_json:
        show_json({"ok": True, "problem": None, "fingerprint": policies.fingerprint, "versions": meaning})
        return
    for one in meaning:
        show_rows(
            ("what", "holds"),
            [(name, said) for name, said in one["promises"] + one["contact"]],
            title=f"{one['version']}, from {one['from']}",
        )


@app.command()
def simulate(
    file: File,
    since: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="DAY", help="The first UTC day.", show_default=f"{DAYS} days before the last"
        ),
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="DAY", help="The last UTC day, inclusive.", show_default="today")
    ] = None,
    by: Annotated[
        str, typer.Option(metavar="SCORE", help="Split the numbers by the tiers of this score.")
    ] = "loyalty",
    data: Data = None,
    journal: JournalAt = None,
    projections: ProjectionsAt = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Try a policy on the messages and requests of some days, beside the one in force, without recording anything.

    What would have been sent, put off (deferred) or kept back (suppressed) and why, and which requests would have been
    answered in target, late or ignored; of all customers, and by the tier they are in today. Consents and preferences
    are taken as they stand now. Works beside a running server.
    """
    from touchbook.cli.upkeep import caught_up, reading
    from touchbook.ledger import MILLISECONDS_A_DAY, day_of
    from touchbook.policy_files import load_policies
    from touchbook.projections.simulating import simulate as simulated
    from touchbook.wiring import tiers_of_fatigue

    settings = settings_of(config, data=data, journal=journal, projections=projections)
    _readable(file)
    last = day_at(to, "--to")
    first = last - DAYS + 1 if since is None else day_at(since, "--from")
    if first > last:
        raise WrongUse("--from: expected a day that is not after --to")
    days = first * MILLISECONDS_A_DAY, (last + 1) * MILLISECONDS_A_DAY
    with reading(settings) as book, progress("simulating", "customers") as tell:
        card = book.scorecards.named(by)
        candidate = load_policies(file, tiers_of_fatigue(book.scorecards))
        caught_up(book)
        now = book.now()
        with book.projections.reading() as reader:
            found = simulated(
                reader, candidate, book.policies, book.scorecards, card, days, day_of(now), now,
                lambda done: tell(done, None, done),
            )  # fmt: skip
    if as_json:
        show_json(found)
        return
    _show(found)


def _readable(file: Path) -> None:
    if not file.is_file():
        raise WrongUse(f"FILE: {file} is no file that can be read; name a policy's file")


# Showing


def _meaning(policy: Policy) -> dict[str, Any]:
    from touchbook.ledger import day_of
    from touchbook.schemas.times import day_text

    return {
        "version": policy.version,
        "from": day_text(day_of(policy.since)),
        "promises": list(_promised(policy)),
        "contact": list(_allowed(policy)),
    }


def _promised(policy: Policy) -> list[tuple[str, str]]:
    found = [*_company(policy.calendar), ("grace for late arrivals", _span(policy.grace))]
    if policy.reply is not None:
        for one in policy.reply.targets:
            about = "everything else" if one.fits_all else _about(one.channels, one.purposes) or "everything"
            hours = "" if one.hours is None else f", asked {_hours(one.hours)}"
            found.append((f"reply: {about}{hours}", f"within {_much(one.within, one.time)}"))
        found.append(("ignored after", _span(policy.reply.ignored_after)))
    found.append(("promises", "watched" if policy.promises else "not watched"))
    if policy.cases is not None:
        found.append(("a silent case", f"after {_much(policy.cases.silent_after, policy.cases.time)}"))
    if (stages := policy.stages) is not None:
        found.append(("a stuck stage", f"{stages.times} times the usual, {_span(stages.least)} at least"))
        found.append(("usual in a stage", f"the median of its finished stays, once {stages.known} are known"))
        found += [(f"usual in {stage} until then", _span(stay)) for stage, stay in stages.usual.items()]
    return found


def _company(calendar: Calendar) -> Iterator[tuple[str, str]]:
    from touchbook.calendar import ALWAYS
    from touchbook.policy_files import WEEKDAYS

    yield "company's time", calendar.zone
    if calendar.hours == ALWAYS:
        yield "working hours", "always"
    else:
        alike: dict[str, list[str]] = {}
        for day, spans in zip(WEEKDAYS, calendar.hours, strict=True):
            if spans:
                alike.setdefault(", ".join(map(_hours, spans)), []).append(day)
        for hours, days in alike.items():
            yield f"working hours {', '.join(days)}", hours
    holidays = [str(day) for day in calendar.holidays]
    holidays += [f"each {month:02}-{day:02}" for month, day in calendar.yearly]
    if holidays:
        yield "holidays", ", ".join(holidays)


def _allowed(policy: Policy) -> list[tuple[str, str]]:
    rules = policy.contact
    found = [
        ("a reservation holds", _span(rules.hold)),
        (
            "consent required",
            ", ".join(sorted(one for one in rules.consent if rules.needs_consent(one))) or "never",
        ),
    ]
    found += [(f"{purpose} is excused from", ", ".join(rules_)) for purpose, rules_ in rules.bypass.items()]
    uncounted = [purpose for purpose, counts in rules.counts.items() if not counts]
    found.append(("does not count", ", ".join(uncounted) or "nothing"))
    if (quiet := rules.quiet) is not None:
        found.append(("quiet hours", f"{_hours((quiet.start, quiet.end))}, by the customer's clock"))
    for tier, limit in rules.fatigue.items():
        if limit == "deny":
            found.append((f"fatigue {tier}", "deny"))
        else:
            found += [(f"fatigue {tier}: {cap.name}", _capped(cap)) for cap in limit]
    found += [(f"cap {cap.name}", _capped(cap)) for cap in rules.caps]
    found += [
        (
            f"cadence {one.name}",
            f"{_about(one.channels, one.purposes) or 'everything'}: every {_span(one.every)}",
        )
        for one in rules.cadence
    ]
    wished = (f"{wish} {'deny' if span is None else _span(span)}" for wish, span in rules.frequency.items())
    found.append(("wished frequency", ", ".join(wished) or "not kept to"))
    found.append(("language of the message", "one he understands" if rules.languages else "any"))
    return found


def _capped(cap: Cap) -> str:
    about = _about(cap.channels, cap.purposes, cap.tags) or "everything that counts"
    span = f"in {_span(cap.window)}" if cap.window is not None else f"a {cap.per}"
    soft = "; not where a cadence is due" if cap.soft and cap.most else ""
    return f"{about}: {'never' if cap.most == 0 else f'{cap.most} {span}'}{soft}"


def _about(channels: Sequence[str], purposes: Sequence[str], tags: Sequence[str] = ()) -> str:
    """Empty where it is about any."""
    named = (("channel", channels), ("purpose", purposes), ("tag", tags))
    return ", ".join(f"{kind} {' or '.join(words)}" for kind, words in named if words)


def _hours(span: Span) -> str:
    return f"{_clock(span[0])}-{_clock(span[1])}"


def _much(length: int, time: TimeKind) -> str:
    """A day of working time would be taken for a day at work, which is shorter."""
    return f"{_span(length, _SHORTER)} of working time" if time == "working" else _span(length)


_SHORTER = ((3_600_000, "h"), (60_000, "m"))
_UNITS = ((86_400_000, "d"), *_SHORTER)


def _span(length: int, units: Sequence[tuple[int, str]] = _UNITS) -> str:
    for unit, name in units:
        if length % unit == 0 and length:
            return f"{length // unit}{name}"
    return f"{length // 1000}s"


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


MESSAGES = {"reserved": "sent", "deferred": "put off", "suppressed": "kept back"}


def _show(found: dict[str, Any]) -> None:
    live, candidate = found["live"], found["candidate"]
    title = f"{found['customers']} customers, {found['from'][:10]} to {found['to'][:10]}"
    show_rows(
        ("what", "in force", "candidate"),
        [
            *(
                (f"messages {word}", live["messages"][kind], candidate["messages"][kind])
                for kind, word in MESSAGES.items()
            ),
            *(
                (f"requests {state}", live["requests"][state], candidate["requests"][state])
                for state in live["requests"]
            ),
        ],
        title=title,
    )
    reasons = {(one["decision"], one["code"]) for side in (live, candidate) for one in side["reasons"]}
    show_rows(
        ("kept from going", "because", "in force", "candidate"),
        [
            (MESSAGES[decision], code, *(_reason(side, decision, code) for side in (live, candidate)))
            for decision, code in sorted(reasons)
        ],
    )
    show_rows(
        (found["by"], "customers", "sent in force", "sent", "put off", "kept back", "late", "ignored"),
        [
            (
                tier["tier"] or "not known",
                tier["customers"],
                tier["live"]["messages"]["reserved"],
                *tier["candidate"]["messages"].values(),
                tier["candidate"]["requests"]["late"],
                tier["candidate"]["requests"]["ignored"],
            )
            for tier in found["tiers"]
        ],
    )
    if found["without_purpose"]:
        say(f"{found['without_purpose']} messages say no purpose, so no policy can decide about them")


def _reason(side: dict[str, Any], decision: str, code: str) -> int:
    return next(
        (one["messages"] for one in side["reasons"] if (one["decision"], one["code"]) == (decision, code)), 0
    )
