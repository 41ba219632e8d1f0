"""`touchbook policy`: a candidate policy read strictly, and tried on what happened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from touchbook.cli.exits import FAILED, Commands, WrongUse
from touchbook.cli.options import AsJson, Config, Data, JournalAt, ProjectionsAt, day_at, settings_of
from touchbook.cli.output import progress, say, show_json, show_rows

if TYPE_CHECKING:
    from touchbook.policy import Cap, Policy

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Try a policy before anybody is treated by it.")

File = Annotated[Path, typer.Argument(metavar="FILE", help="A policy, in YAML.")]
DAYS = 30


@app.command()
def check(file: File, as_json: AsJson = False) -> None:
    """Read a policy as the server would, and say what it promises and allows.

    Ends with 1 where a server would refuse the file, naming line and column.
    """
    from touchbook.errors import PolicyInvalid
    from touchbook.policy_files import load_policies

    _readable(file)
    try:
        policies = load_policies(file)
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

    settings = settings_of(config, data=data, journal=journal, projections=projections)
    _readable(file)
    candidate, live = load_policies(file), load_policies(settings.policy)
    last = day_at(to, "--to")
    first = last - DAYS + 1 if since is None else day_at(since, "--from")
    if first > last:
        raise WrongUse("--from: expected a day that is not after --to")
    days = first * MILLISECONDS_A_DAY, (last + 1) * MILLISECONDS_A_DAY
    with reading(settings) as book, progress("simulating", "customers") as tell:
        card = book.scorecards.named(by)
        caught_up(book)
        now = book.now()
        with book.projections.reading() as reader:
            found = simulated(
                reader, candidate, live, book.scorecards, card, days, day_of(now), now,
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
    from touchbook.calendar import Calendar

    calendar = policy.calendar
    found = [
        (
            "company's time",
            f"{calendar.zone}, {'always' if calendar == Calendar(calendar.zone) else 'by its hours and holidays'}",
        ),
        ("grace for late arrivals", _span(policy.grace)),
    ]
    if policy.reply is not None:
        for one in policy.reply.targets:
            about = [*one.channels, *one.purposes] or ["everything else"]
            hours = "" if one.hours is None else f", asked {_clock(one.hours[0])}-{_clock(one.hours[1])}"
            found.append(
                (f"reply: {', '.join(about)}{hours}", f"within {_span(one.within)} ({one.time} time)")
            )
        found.append(("ignored after", _span(policy.reply.ignored_after)))
    found.append(("promises", "watched" if policy.promises else "not watched"))
    if policy.cases is not None:
        found.append(
            ("a silent case", f"after {_span(policy.cases.silent_after)} ({policy.cases.time} time)")
        )
    if policy.stages is not None:
        stages = policy.stages
        found.append(("a stuck stage", f"{stages.times} times the usual, {_span(stages.least)} at least"))
    return found


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
    if rules.quiet is not None:
        found.append(
            ("quiet hours", f"{_clock(rules.quiet.start)}-{_clock(rules.quiet.end)}, by the customer's clock")
        )
    found += [
        (f"fatigue {tier}", "deny" if one == "deny" else f"{len(one)} caps more")
        for tier, one in rules.fatigue.items()
    ]
    found += [(f"cap {cap.name}", _capped(cap)) for cap in rules.caps]
    found += [(f"cadence {one.name}", f"every {_span(one.every)}") for one in rules.cadence]
    return found


def _capped(cap: Cap) -> str:
    about = ", ".join([*cap.channels, *cap.purposes, *cap.tags]) or "everything that counts"
    span = f"in {_span(cap.window)}" if cap.window is not None else f"a {cap.per}"
    return f"{about}: {'never' if cap.most == 0 else f'{cap.most} {span}'}"


def _span(length: int) -> str:
    for unit, name in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m")):
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
