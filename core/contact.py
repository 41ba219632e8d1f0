"""May a channel speak to him now? From his own wishes, his consents, the hour where he is, and how tired he is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

CHANNELS = ("email", "phone", "sms", "messenger", "mobile_app", "web_chat")
"""Channels answered for besides those he uses or asks for."""
NEEDS_CONSENT = frozenset({"offer", "survey", "teach"})
SERVICE = "service"


def contact(
    purpose: str,
    preferences: Mapping[str, Any],
    consents: Mapping[str, Any],
    fatigue_tier: str | None,
    used: Sequence[str],
    now: int,
) -> dict[str, Any]:
    """Per channel {"allowed", "reasons"}; reasons name what denies, or what allows.

    Do-not-contact denies all. Offer, survey and teach need a granted consent for that purpose. A consent withdrawn, a
    wished frequency of `never`, quiet hours and `exhausted` fatigue deny all but service. Channels he named as
    preferred exclude the others for what is not service.
    """
    wished = [name for name in preferences.get("channels") or () if isinstance(name, str)]
    channels = dict.fromkeys([*wished, *used, *CHANNELS])
    general = _denials(purpose, preferences, consents, fatigue_tier, now)
    answers: dict[str, Any] = {}
    for channel in channels:
        denials = list(general)
        if wished and channel not in wished and purpose != SERVICE:
            denials.append("not_a_preferred_channel")
        answers[channel] = {"allowed": not denials, "reasons": denials or _grounds(purpose)}
    return answers


def _denials(
    purpose: str,
    preferences: Mapping[str, Any],
    consents: Mapping[str, Any],
    fatigue_tier: str | None,
    now: int,
) -> list[str]:
    if preferences.get("do_not_contact") is True:
        return ["do_not_contact"]
    denials = []
    if purpose != SERVICE:
        if preferences.get("frequency") == "never":
            denials.append("frequency_never")
        consent = consents.get(purpose)
        if isinstance(consent, Mapping) and not consent.get("granted"):
            denials.append("consent_withdrawn")
        elif purpose in NEEDS_CONSENT and not isinstance(consent, Mapping):
            denials.append("consent_missing")
        if quiet_at(preferences.get("hours"), now):
            denials.append("quiet_hours")
        if fatigue_tier == "exhausted":
            denials.append("fatigue_exhausted")
    return denials


def _grounds(purpose: str) -> list[str]:
    return ["consent_granted"] if purpose in NEEDS_CONSENT else ["no_objection"]


def quiet_at(hours: Any, now: int) -> bool:
    """Whether `now` (milliseconds UTC) lies in his quiet hours {"from": "22:00", "to": "08:00", "zone": "Europe/Riga"};
    the zone is UTC where he named none. Hours that cannot be read are no quiet hours."""
    if not isinstance(hours, Mapping):
        return False
    try:
        start, end = time.fromisoformat(hours["from"]), time.fromisoformat(hours["to"])
        zone = ZoneInfo(hours.get("zone") or "UTC")
    except (KeyError, TypeError, ValueError, ZoneInfoNotFoundError):
        return False
    local = datetime.fromtimestamp(now / 1000, UTC).astimezone(zone).time()
    return start <= local < end if start <= end else local >= start or local < end
