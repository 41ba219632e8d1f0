"""What an agent does about a customer: a note, a mood, thanks for a word of his. Each is a touchpoint in the journal
under the source of the agent's key and with his name.

A form brings a token drawn when it was made. The touchpoint's id is made of it and of what was written, so a form sent
twice is one touchpoint, and one sent again with other words is another.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from anyio.to_thread import run_sync
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from touchbook.api.desk.pages import Desk, Handler, Visit
from touchbook.api.desk.who import PATH, ROLES, found, path_of, reading
from touchbook.api.desk.words import Words
from touchbook.api.reads import visible
from touchbook.errors import Refused, TouchbookError, TouchpointUnknown
from touchbook.identity import subject_of
from touchbook.projections.who import Customer
from touchbook.schemas.touchpoint import Identifier
from touchbook.streams.admission import Item, Outcome, Publisher
from touchbook.timeline import TimelineFilters

CHANNEL = "desk"
LONGEST_NOTE = 10_000
SEEN_WITHIN = 5.0
"""Seconds that an act waits to be seen by whoever reads; it is recorded in any case."""
TOKEN = re.compile("[0-9a-f]{32}")


class Mood(NamedTuple):
    """As the form names it, and as it is recorded."""

    name: str
    emotion: str
    valence: str


MOODS = (
    Mood("glad", "joy", "positive"),
    Mood("calm", "calm", "neutral"),
    Mood("unsure", "confusion", "neutral"),
    Mood("sad", "sadness", "negative"),
    Mood("angry", "anger", "negative"),
)


MOOD_ICONS = {"glad": "laugh", "calm": "smile", "unsure": "meh", "sad": "frown", "angry": "angry"}


class Said(NamedTuple):
    """One touchpoint of an act: its type and what it says."""

    type: str
    data: dict[str, Any]


def routes(desk: Desk) -> list[Route]:
    def route(path: str, handler: Handler, method: str = "POST") -> Route:
        return desk.route(PATH + path, handler, (method,), roles=ROLES)

    return [
        route("/note", _note),
        route("/mood", reading(_mood_form), "GET"),
        route("/mood", _mood),
        route("/acknowledge", _acknowledge),
    ]


def new_token() -> str:
    return secrets.token_hex(16)


# A note


def note_fields(
    visit: Visit, customer: Customer, text: str = "", mood: str = "", wrong: str = "", done: str = ""
) -> dict[str, Any]:
    """For `customer/note.html`: an empty form, or one that was not taken, with `wrong` why."""
    return {
        "path": path_of(customer),
        "token": new_token(),
        "moods": moods_in(visit.words),
        "text": text,
        "mood": mood,
        "wrong": wrong,
        "done": done,
    }


def moods_in(words: Words) -> list[tuple[str, str, str]]:
    """(name, icon, word) of each."""
    _ = words.gettext
    said = {
        "glad": _("glad"),
        "calm": _("calm"),
        "unsure": _("unsure"),
        "sad": _("sad"),
        "angry": _("angry"),
    }
    return [(one.name, MOOD_ICONS[one.name], said[one.name]) for one in MOODS]


async def _note(visit: Visit) -> Response:
    _ = visit.words.gettext
    form = await visit.form()
    customer = await run_sync(found, visit)
    text, mood = field(form, "text").strip(), field(form, "mood")
    said: list[Said] = []
    if text:
        said.append(Said("note_added", {"text": text}))
    if felt := _mood_named(mood):
        said.append(Said("emotion_observed", _emotion(felt)))
    if not said:
        wrong = _("Write something, or choose a mood.")
    elif len(text) > LONGEST_NOTE:
        wrong = _("This note has %(there)s characters; %(most)s fit.", there=len(text), most=LONGEST_NOTE)
    else:
        wrong = await _recorded(visit, customer, field(form, "token"), said)
    if wrong:
        fields = note_fields(visit, customer, text, mood, wrong)
        return visit.desk.page(visit, _template(visit, "note"), 422, **fields)
    if not visit.fragment:
        return RedirectResponse(path_of(customer), 303)
    return visit.desk.page(visit, "customer/note.html", **note_fields(visit, customer, done=_("Saved")))


def _template(visit: Visit, name: str) -> str:
    """A form that was sent without script is answered as a page of its own."""
    return f"customer/{name}.html" if visit.fragment else f"customer/{name}_alone.html"


# A mood


def _mood_form(visit: Visit) -> Response:
    customer = found(visit)
    query = visit.request.query_params
    item = _item(visit, customer, query.get("key", ""), query.get("at", ""))
    return visit.desk.page(visit, "customer/mood.html", **_mood_fields(visit, customer, item))


def _mood_fields(
    visit: Visit, customer: Customer, item: Mapping[str, Any], wrong: str = ""
) -> dict[str, Any]:
    return {
        "path": path_of(customer),
        "token": new_token(),
        "moods": moods_in(visit.words),
        "key": item["key"],
        "at": item["at"],
        "wrong": wrong,
    }


async def _mood(visit: Visit) -> Response:
    _ = visit.words.gettext
    form = await visit.form()
    customer = await run_sync(found, visit)
    item = await run_sync(_item, visit, customer, field(form, "key"), field(form, "at"))
    felt = _mood_named(field(form, "mood"))
    wrong = _("Choose a mood.")
    if felt is not None:
        said = Said("emotion_observed", {**_emotion(felt), **_about(item)})
        wrong = await _recorded(visit, customer, field(form, "token"), [said], item["subject"])
    if wrong:
        fields = _mood_fields(visit, customer, item, wrong)
        return visit.desk.page(visit, "customer/mood.html", 422, **fields)
    word = next(word for name, _, word in moods_in(visit.words) if felt and name == felt.name)
    return _done(visit, _("Tagged: %(mood)s", mood=word))


def _mood_named(name: str) -> Mood | None:
    return next((mood for mood in MOODS if mood.name == name), None)


def _emotion(mood: Mood) -> dict[str, Any]:
    return {"emotion": mood.emotion, "valence": mood.valence, "source": "agent"}


# Thanks


async def _acknowledge(visit: Visit) -> Response:
    form = await visit.form()
    customer = await run_sync(found, visit)
    item = await run_sync(_item, visit, customer, field(form, "key"), field(form, "at"))
    data = {"feedback_id": item["data"].get("feedback_id") or item["id"], **_about(item)}
    topic = item["data"].get("topic")
    data |= {"topic": topic} if isinstance(topic, str) else {}
    # A word of thanks is said once for each touchpoint, whoever says it and however often the button is pressed.
    token = hashlib.sha256(f"acknowledged {item['key']}".encode()).hexdigest()[:32]
    wrong = await _recorded(visit, customer, token, [Said("feedback_acknowledged", data)], item["subject"])
    if wrong:
        return visit.desk.problem(visit, 422, wrong)
    return _done(visit, visit.words.gettext("Acknowledged"))


def _about(item: Mapping[str, Any]) -> dict[str, Any]:
    """What ties an act to the touchpoint it is about: its id as the source knows it, its key as we do, its thread."""
    thread = {"thread": item["thread"]} if item["thread"] else {}
    return {"in_reply_to": item["id"], "touchpoint": item["key"], **thread}


def _done(visit: Visit, said: str) -> Response:
    return visit.desk.page(visit, "customer/done.html", said=said)


# Recording


async def _recorded(
    visit: Visit, customer: Customer, token: str, said: Sequence[Said], subject: str | None = None
) -> str:
    """Records what was said of a customer, under the identifier `subject` where it is about a touchpoint of that one.
    Empty once it is recorded, else what went wrong."""
    if not TOKEN.fullmatch(token):
        return visit.words.gettext("This form was cut off. Load the page anew and write it again.")
    who = await run_sync(_identifier, visit, customer, subject)
    try:
        await record(visit, [event_of(visit, one, token, who) for one in said])
    except TouchbookError as error:
        return not_recorded(visit, error)
    return ""


def not_recorded(visit: Visit, error: TouchbookError) -> str:
    _ = visit.words.gettext
    if error.status >= 500:
        return _("It could not be recorded just now. Nothing is lost: send it again.")
    return _("It was not taken: %(why)s", why=str(error))


def event_of(visit: Visit, said: Said, token: str, who: Identifier) -> dict[str, Any]:
    """The act as a CloudEvent. It has no time of its own: it happens when it is received, and when it is received again
    that is no difference."""
    content = json.dumps([said.type, said.data, list(who)], sort_keys=True)
    return {
        "specversion": "1.0",
        "id": f"{token}-{hashlib.sha256(content.encode()).hexdigest()[:16]}",
        "source": visit.agent.source,
        "type": said.type,
        "channel": CHANNEL,
        "data": {
            **said.data,
            "actor": {"kind": "agent", "name": visit.agent.name},
            "identifiers": {who.type: who.value},
        },
    }


def publisher_of(visit: Visit) -> Publisher:
    return Publisher(visit.agent.source, CHANNEL, "agent")


async def record(visit: Visit, events: Sequence[dict[str, Any]]) -> list[Outcome]:
    """Once they are durable, and visible if that does not take too long. Raises `Refused` where one was rejected."""
    book = visit.desk.book
    items = [Item("cloudevents", one, {}) for one in events]
    admitted = await run_sync(book.admission.admit, items, publisher_of(visit), visit.now)
    outcomes = await asyncio.wrap_future(admitted)
    for one in outcomes:
        if one.outcome == "rejected":
            raise Refused(422, one.code, one.message)
    await visible(book.follower, [one.position for one in outcomes if one.position is not None], SEEN_WITHIN)
    return outcomes


def _identifier(visit: Visit, customer: Customer, subject: str | None) -> Identifier:
    """The member an act is recorded under: the one its touchpoint has, else his strongest."""
    for member in customer.members:
        if member.id == subject:
            return member.identifier
    rules = visit.desk.book.journal.rules
    those = [one for one in customer.members if one.touchpoints] or list(customer.members)
    return subject_of([one.identifier for one in those], rules)


def _item(visit: Visit, customer: Customer, key: str, at: str) -> dict[str, Any]:
    """The touchpoint of a form, found by its time and key. Raises `TouchpointUnknown` for one that is not his."""
    if not (at.isascii() and at.isdigit() and len(at) < 16):
        raise TouchpointUnknown
    moment = int(at)
    filters = TimelineFilters(from_at=moment, to_at=moment + 1)
    page = visit.desk.book.customers.timeline(customer, filters, None, 500, visit.language)
    for item in page["items"]:
        if item["key"] == key:
            return {**item, "at": moment}
    raise TouchpointUnknown


def field(form: Mapping[str, Sequence[str]], name: str) -> str:
    """One field of a form, empty where it is missing."""
    return next(iter(form.get(name, ())), "")
