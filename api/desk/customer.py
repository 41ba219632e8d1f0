"""The customer page, and who he is: its left column above the scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel import Locale, UnknownLocaleError
from babel.dates import get_timezone_location
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from touchbook.api.desk import acts, linking, scores, timeline
from touchbook.api.desk.channel_words import channel_words
from touchbook.api.desk.now import now_fields
from touchbook.api.desk.pages import Desk, Visit
from touchbook.api.desk.scores import scores_fields
from touchbook.api.desk.who import (
    PATH,
    ROLES,
    also_words,
    called,
    found,
    identifiers_shown,
    path_of,
    reading,
    situation_at,
)
from touchbook.api.desk.words import MINUTE, Words, locale
from touchbook.errors import CustomerUnknown
from touchbook.projections.context import language_of
from touchbook.projections.who import Customer

Fields = Callable[[Visit, Customer], dict[str, Any]]


def routes(desk: Desk) -> list[Route]:
    def fragment(path: str, template: str, fields_of: Fields) -> Route:
        return desk.route(PATH + path, reading(partial(_fragment, template, fields_of)), roles=ROLES)

    return [
        *scores.routes(desk),
        *acts.routes(desk),
        *linking.routes(desk),
        fragment("/about", "customer/about.html", about_fields),
        fragment("/now", "customer/now.html", now_fields),
        fragment("/standing", "customer/standing.html", standing_fields),
        desk.route(PATH + "/reveal/{member}", reading(_reveal), ("POST",), roles=ROLES),
        desk.route(PATH, reading(_page), roles=ROLES),
    ]


def standing_fields(visit: Visit, customer: Customer) -> dict[str, Any]:
    """All that is replaced as he changes: for `customer/standing.html`."""
    return {
        **about_fields(visit, customer),
        **now_fields(visit, customer),
        **scores_fields(visit, customer),
    }


def _page(visit: Visit) -> Response:
    customer = found(visit)
    query = visit.request.query_params
    if visit.request.path_params["id"] != customer.id:  # one address for each, whichever member was asked for
        asked = urlencode(query.multi_items())
        return RedirectResponse(path_of(customer) + (f"?{asked}" if asked else ""), 303)
    visit.audit("viewed", customer.id)
    fields = standing_fields(visit, customer) | acts.note_fields(visit, customer)
    book = timeline.first(visit, customer, query)
    return visit.desk.page(visit, "customer/page.html", **fields, **book)


def _fragment(template: str, fields_of: Fields, visit: Visit) -> Response:
    return visit.desk.page(visit, template, **fields_of(visit, found(visit)))


def _reveal(visit: Visit) -> Response:
    customer = found(visit)
    asked = visit.request.path_params["member"]
    member = next((one for one in customer.members if one.id == asked), None)
    if member is None:
        raise CustomerUnknown
    visit.audit("revealed", customer.id, member=member.id, type=member.identifier.type)
    return visit.desk.page(visit, "customer/revealed.html", value=member.identifier.value)


def about_fields(visit: Visit, customer: Customer) -> dict[str, Any]:
    """For `customer/about.html` and the head of the page."""
    situation = situation_at(visit, customer)
    words, traits, preferences = visit.words, situation.values("trait"), situation.values("preference")
    members = customer.members
    return {
        "path": path_of(customer),
        "name": called(customer, situation, words),
        "since": words.date(min(one.first_seen for one in members)),
        "touchpoints": sum(one.touchpoints for one in members),
        "channels": len(situation.channels),
        "clock": _clock_of(traits, preferences, visit),
        "speaks": _speaks(traits, preferences, words),
        "prefers": _prefers(preferences, situation.channels, words),
        "agreed": _agreed(situation.values("consent"), words),
        "identifiers": identifiers_shown(members, words),
        "also": also_words(members, words),
    }


def _clock_of(
    traits: Mapping[str, Any], preferences: Mapping[str, Any], visit: Visit
) -> dict[str, str] | None:
    """What time it is where he is: by his quiet hours, else by what is known of him."""
    hours = preferences.get("hours")
    told = [hours.get("zone")] if isinstance(hours, Mapping) else []
    told += [traits.get(name) for name in ("timezone", "time_zone", "zone")]
    zone = next((zone for zone in map(_zone, told) if zone is not None), None)
    if zone is None:
        return None
    at = datetime.fromtimestamp(visit.now / 1000, UTC)
    there, here = at.astimezone(zone), at.astimezone(visit.zone)
    apart = there.replace(tzinfo=None) - here.replace(tzinfo=None)
    place = get_timezone_location(zone, locale=locale(visit.language), return_city=True)
    return {
        "time": f"{there:%H:%M}",
        "zone": zone.key,
        "place": f"{place}, {_difference(round(apart.total_seconds() / 60), visit.words)}",
    }


def _zone(name: Any) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if isinstance(name, str) and name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _difference(minutes: int, words: Words) -> str:
    _ = words.gettext
    if not minutes:
        return _("the same as here")
    hours, rest = divmod(abs(minutes), 60)
    if rest:
        lasting = words.duration(abs(minutes) * MINUTE)
        return (
            _("%(lasting)s ahead", lasting=lasting)
            if minutes > 0
            else _("%(lasting)s behind", lasting=lasting)
        )
    if minutes > 0:
        return words.ngettext("an hour ahead", "%(num)s hours ahead", hours)
    return words.ngettext("an hour behind", "%(num)s hours behind", hours)


def _speaks(traits: Mapping[str, Any], preferences: Mapping[str, Any], words: Words) -> str:
    several = traits.get("languages")
    told = [language_of(dict(preferences), dict(traits)), *(several if isinstance(several, list) else [])]
    names = [_language(tag, words) for tag in told if isinstance(tag, str) and tag]
    return ", ".join(dict.fromkeys(names))


def _language(tag: str, words: Words) -> str:
    try:
        spoken = Locale.parse(tag.replace("-", "_").split("_")[0])
    except (UnknownLocaleError, ValueError, TypeError):
        return tag
    return spoken.get_language_name(locale(words.language)) or tag


def _prefers(preferences: Mapping[str, Any], used: Sequence[str], words: Words) -> str:
    wished = [name for name in preferences.get("channels") or () if isinstance(name, str)]
    if wished:
        first, *others = [channel_words(name, words.language) for name in wished]
        if not others:
            return first
        return words.gettext("%(first)s, then %(others)s", first=first, others=", ".join(others))
    if used:
        return words.gettext("mostly comes by: %(channel)s", channel=channel_words(used[0], words.language))
    return ""


def _agreed(consents: Mapping[str, Any], words: Words) -> tuple[str, str] | None:
    """What he agreed to, and what not; None where he was never asked."""
    said = {name: isinstance(one, Mapping) and bool(one.get("granted")) for name, one in consents.items()}
    if not said:
        return None
    granted = [purpose_words(name, words) for name, yes in said.items() if yes]
    denied = [purpose_words(name, words) for name, yes in said.items() if not yes]
    return ", ".join(granted), ", ".join(denied)


def purpose_words(purpose: str, words: Words) -> str:
    _ = words.gettext
    return {
        "service": _("service messages"),
        "offer": _("offers"),
        "survey": _("surveys"),
        "teach": _("teaching"),
        "support": _("support"),
        "welcome": _("welcome messages"),
        "legal": _("notices we must send"),
    }.get(purpose) or purpose.replace("_", " ")
