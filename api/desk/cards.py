"""How a card of the timeline reads: every word of it, from what its touchpoints' types say about themselves.

No type is known here by name but for what the desk itself adds: acts of agents, emotions, the views it counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple

from touchbook.api.desk.channel_words import channel_words
from touchbook.api.desk.folds import SPEECH, Card
from touchbook.api.desk.matters import owed_to
from touchbook.api.desk.who import reference_words
from touchbook.api.desk.words import Words
from touchbook.policy import Policies
from touchbook.registers import OpenRequest
from touchbook.schemas.catalogue import CATALOGUE, Plain
from touchbook.schemas.display import Display, Language, Wording, render
from touchbook.schemas.threads import Threaded
from touchbook.streams.control import OURS
from touchbook.timeline import ERASED, UNREADABLE, Entry, headline_and_detail

SHOWN_WORDS = 2_000
"""Letters of what somebody wrote that stand on the page; the rest is in the JSON."""
SHOWN_TITLES = 5
SCALES = (("csat", 1, 5), ("ces", 1, 7), ("nps", 0, 10))
CHANNEL_ICONS = {"email": "mail", "phone": "phone", "sms": "smartphone", "messenger": "message-circle"}
SPEAKER_ICONS = {"bot": "bot", "person": "message-circle"}
MOOD_ICONS = {"positive": "smile", "neutral": "meh", "negative": "frown"}
THING_ICONS = {"case_id": "folder-open", "order_id": "package"}
"""Fields that name what a touchpoint belongs to, and how that is marked."""
JOINING = {"link": ("link",), "unlink": ("apart", "from")}
"""Acts of agents that name identifiers, and in which fields."""
ACKNOWLEDGED = "feedback_acknowledged"
ANONYMOUS = ("anonymous_id", "device")
DAY_SECONDS = 86_400


class Mark(NamedTuple):
    """A small word below a card; `thread` is what a click on it filters to."""

    icon: str
    text: str
    tone: str = ""
    thread: str | None = None


class Said(NamedTuple):
    """A line of a fold: `who` is empty where nobody speaks."""

    who: str
    text: str
    at: int


class Stage(NamedTuple):
    """A stage of an order; `reached` is when, `missed` says that it was promised and did not come."""

    name: str
    reached: int | None
    missed: bool = False


class Scale(NamedTuple):
    answer: int
    steps: Sequence[int]
    about: str


@dataclass(frozen=True, slots=True)
class Fold:
    """`kind` is talk or runs."""

    kind: str
    summary: str
    lines: Sequence[Said]
    open: bool = False


@dataclass(slots=True)
class View:
    """One `<article>`. Times are milliseconds UTC; every text is plain. `html` is how it was drawn, by the head of its
    day and the customer's path; None where it changes with time."""

    key: str
    keys: list[str]
    at: int
    thread: str
    classes: list[str]
    icon: str
    tone: str
    headline: str
    detail: str = ""
    quote: str = ""
    scales: list[Scale] = field(default_factory=list)
    fold: Fold | None = None
    stages: list[Stage] = field(default_factory=list)
    waits_since: int | None = None
    target: int | None = None
    marks: list[Mark] = field(default_factory=list)
    acknowledge: bool = False
    html: dict[tuple[str, str], str] | None = field(default=None, repr=False, compare=False)

    def drawn(self, draw: Callable[[View, str, str], str], head: str, path: str) -> str:
        if self.html is None:
            return draw(self, head, path)
        if (head, path) not in self.html:
            self.html[head, path] = draw(self, head, path)
        return self.html[head, path]


@dataclass(frozen=True, slots=True)
class Teller:
    """Words cards for one customer and one agent. `types` is permanent id → identifier type of his members,
    `requests` are his unanswered ones by thread, `late_after` milliseconds; `later` says by key of a verdict what
    became known after it. `known` are views told before by a teller of the same `manner`."""

    words: Words
    now: int
    late_after: int
    name: str
    types: Mapping[str, str]
    requests: Mapping[str, OpenRequest]
    policies: Policies
    later: Mapping[str, str] = field(default_factory=dict)
    known: dict[Hashable, View] = field(default_factory=dict)

    @property
    def manner(self) -> Hashable:
        """What every card's words depend on, besides what it holds."""
        year = self.words.today(self.now).year
        return self.words.language, year, self.late_after, self.name, tuple(self.types.items())

    def day_at(self, at: int) -> date:
        return self.words.today(at)

    def _read(self, entry: Entry) -> tuple[str, str, str]:
        if names := JOINING.get(entry.type):
            data = _data(entry)
            named = {
                name: [reference_words(str(one), self.words) for one in data.get(name) or ()]
                for name in names
            }
            entry = entry._replace(body={**entry.body, "data": {**data, **named}})
        return headline_and_detail(entry, self.words.language, self.words.zone)

    def views(self, cards: Sequence[Card]) -> list[View]:
        answered = {
            name
            for card in cards
            for one in card.entries
            if one.type == ACKNOWLEDGED
            for name in (_text(_data(one), "touchpoint"), _text(_data(one), "feedback_id"))
        }
        missed = {
            _text(_data(one), "order_id")
            for card in cards
            for one in card.entries
            if one.type == "promise_broken"
        }
        return [self._told(card, answered, missed) for card in cards]

    def _told(self, card: Card, answered: set[str], missed: set[str]) -> View:
        """As `_view`, which is asked once for a card while nothing else is known of what it holds."""
        newest = card.newest
        thanked = bool(answered & {newest.key, newest.body.get("id")})
        late = _text(_data(newest), "order_id") in missed
        later, waits = self.later.get(newest.key), self._waits(newest.thread)
        sign = card.kind, tuple(card.keys), thanked, late, later, waits
        view = self.known.get(sign)
        if view is None:
            view = self.known[sign] = self._view(card, answered, missed)
            view.html = {} if view.waits_since is None else None
        return view

    def _waits(self, thread: str | None) -> Hashable:
        """What of an unanswered request of this thread a card depends on."""
        if (request := self.requests.get(thread or "")) is None:
            return None
        owed = owed_to(request, self.policies)
        return request.since, owed and (owed.due, owed.ignored_at <= self.now)

    def _view(self, card: Card, answered: set[str], missed: set[str]) -> View:
        newest = card.newest
        icon, headline, detail = self._read(newest)
        display = _display(newest)
        view = View(
            key=newest.key,
            keys=card.keys,
            at=newest.occurred_at,
            thread=newest.thread or "",
            classes=["soft"] if display.tone == "noise" else [],
            icon=icon,
            tone=display.tone if display.tone in ("bad", "good") else "",
            headline=headline,
            detail=detail,
        )
        if newest.type in (ERASED, UNREADABLE):
            self._special(view, newest)
            return view
        match card.kind:
            case "talk" if any(one.type in SPEECH for one in card.entries):
                self._talk(view, card)
            case "views":
                self._views(view, card)
            case _:
                self._own_words(view, newest)
                if len(card.entries) > 1:
                    self._steps(view, card)
                if newest.family == "commerce" and _of_one_thing(newest):
                    view.stages = self._stages(card, missed)
        view.acknowledge = (
            newest.family == "feedback"
            and newest.direction == "in"
            and not answered & {newest.key, newest.body.get("id")}
        )
        view.marks = [*self._marks(view, newest), *(self._feeling(one) for one in card.feelings)]
        return view

    def _special(self, view: View, newest: Entry) -> None:
        if newest.type == ERASED:
            view.classes = ["gone"]
            view.detail = self.words.gettext(
                "What stood here can never be read again and counts in no score."
            )

    def _own_words(self, view: View, newest: Entry) -> None:
        """What somebody wrote stands whole, not as the first line of it: the customer's own words as a quotation."""
        data = _data(newest)
        written = _text(data, "text") or _text(data, "comment")
        if written:
            shown = _shortened(written)
            if newest.direction == "in":
                view.quote, view.detail = shown, "" if _begins(view.detail, written) else view.detail
            elif _begins(view.detail, written) or not view.detail:
                view.detail = shown
        if newest.direction == "internal" and _actor_kind(newest) == "agent":
            view.classes.append("inner")
        view.scales = [
            Scale(data[name], range(least, most + 1), _text(data, "question") or _text(data, "survey"))
            for name, least, most in SCALES
            if isinstance(data.get(name), int) and least <= data[name] <= most
        ]

    # Folds

    def _talk(self, view: View, card: Card) -> None:
        words, entries = self.words, card.entries
        spoken = [one for one in entries if one.type in SPEECH]
        request = self.requests.get(view.thread)
        open_here = request is not None and any(one.occurred_at >= request.since for one in spoken)
        owed = None if request is None else owed_to(request, self.policies)
        given_up = open_here and owed is not None and owed.ignored_at <= self.now
        waits = request is not None and open_here and not given_up
        view.classes.append("thread")
        view.headline = self._headline_of_talk(card, spoken, waits)
        with_whom = SPEAKER_ICONS["bot" if _by_bot_alone(spoken) else "person"]
        view.icon = CHANNEL_ICONS.get(card.newest.channel, with_whom)
        view.detail, view.tone = "", "warn" if waits else "bad" if given_up else ""
        summary = words.ngettext("%(num)s message", "%(num)s messages", len(spoken))
        lasted = spoken[0].occurred_at - spoken[-1].occurred_at
        if given_up:
            summary = words.gettext("%(messages)s, never answered", messages=summary)
        elif lasted >= 60_000:
            summary = words.gettext("%(messages)s in %(time)s", messages=summary, time=words.duration(lasted))
        lines = [self._said(one) for one in reversed(entries)]
        view.fold = Fold("talk", summary, lines, open=waits)
        if waits and request is not None:
            view.classes.append("open")
            view.waits_since = request.since
            view.target = None if owed is None else owed.due

    def _headline_of_talk(self, card: Card, spoken: Sequence[Entry], waits: bool) -> str:
        _, channel = (
            self.words.gettext,
            channel_words(card.newest.channel, self.words.language, capital=True),
        )
        subject = next((said for one in reversed(spoken) if (said := _text(_data(one), "subject"))), "")
        agents = [one.body["actor"].get("name") for one in spoken if _actor_kind(one) == "agent"]
        if subject:
            return _("%(channel)s: %(subject)s", channel=channel, subject=_shortened(subject, 140))
        if waits:
            return _("%(channel)s, waits for a reply", channel=channel)
        if any(_display(one).tone == "bad" for one in card.entries) and not agents:
            return _("%(channel)s with the bot, did not help", channel=channel)
        if agents and agents[0]:
            return _("%(channel)s with %(name)s", channel=channel, name=agents[0])
        if _by_bot_alone(spoken):
            return _("%(channel)s with the bot", channel=channel)
        return channel

    def _said(self, one: Entry) -> Said:
        text = _text(_data(one), "text") if one.type in SPEECH else ""
        if not text:
            return Said("", self._read(one)[1], one.occurred_at)
        return Said(self._speaker(one), _shortened(text), one.occurred_at)

    def _speaker(self, one: Entry) -> str:
        _, actor = self.words.gettext, one.body.get("actor") or {}
        kind = actor.get("kind") or ("customer" if one.direction == "in" else "agent")
        if kind == "customer":
            return self.name or _("Customer")
        return actor.get("name") or {"agent": _("Agent"), "bot": _("Bot")}.get(kind) or _("System")

    def _steps(self, view: View, card: Card) -> None:
        view.classes.append("thread")
        older = card.entries[1:]
        summary = self.words.ngettext(
            "%(num)s step since %(day)s",
            "%(num)s steps since %(day)s",
            len(older),
            day=self.words.day_short(older[-1].occurred_at, self.now),
        )
        lines = [Said("", self._read(one)[1], one.occurred_at) for one in reversed(older)]
        view.fold = Fold("runs", summary, lines)

    def _stages(self, card: Card, missed: set[str]) -> list[Stage]:
        """The way of an order as far as this page tells it, and its end where that has not come."""
        _ = self.words.gettext
        stages, ended = [], False
        for one in reversed(card.entries):
            stage = _text(_data(one), "stage")
            if stage:
                stages.append(Stage(self._stage(one, stage), one.occurred_at))
                ended = stage == "delivered"
                continue
            name, ended = _ORDER_ENDS.get(one.type, ("", ended))
            if name:
                stages.append(Stage(_(name), one.occurred_at))
        if stages and not ended:
            order = _text(_data(card.newest), "order_id")
            stages.append(Stage(_("Delivered"), None, missed=order in missed))
        return stages

    def _stage(self, one: Entry, stage: str) -> str:
        wording = _display(one).en if self.words.language == "en" else _display(one).ru
        said = wording.words.get(stage, stage.replace("_", " "))
        return said[:1].upper() + said[1:]

    def _views(self, view: View, card: Card) -> None:
        view.headline = self._counted(card.newest.type, len(card.entries))
        titles = Counter(self._title(one) for one in card.entries)
        named = [f"{title} ×{n}" if n > 1 else title for title, n in titles.most_common(SHOWN_TITLES)]
        if len(titles) > SHOWN_TITLES:
            named.append("…")
        view.detail = ""
        lines = [Said("", self._title(one), one.occurred_at) for one in reversed(card.entries)]
        view.fold = Fold("runs", ", ".join(named), lines)

    def _title(self, one: Entry) -> str:
        data = {**_data(one), **one.body.get("shown", {})}
        named = next((_text(data, name) for name in ("name", "title", "subject") if _text(data, name)), "")
        return _shortened(named, 80) or self._read(one)[1]

    def _counted(self, type: str, n: int) -> str:
        words = self.words
        match type:
            case "page_viewed":
                return words.ngettext("%(num)s page view", "%(num)s page views", n)
            case "product_viewed":
                return words.ngettext("%(num)s product looked at", "%(num)s products looked at", n)
            case "app_opened":
                return words.ngettext("Opened the app %(num)s time", "Opened the app %(num)s times", n)
            case "recommendation_shown":
                return words.ngettext("%(num)s recommendation shown", "%(num)s recommendations shown", n)
        return words.ngettext("%(num)s touchpoint alike", "%(num)s touchpoints alike", n)

    # Marks

    def _marks(self, view: View, newest: Entry) -> list[Mark]:
        _, data, marks = self.words.gettext, _data(newest), list[Mark]()
        late, ours = newest.recorded_at - newest.occurred_at, newest.source == OURS
        if late > self.late_after and not ours:  # what we say ourselves is said when it is known
            marks.append(
                Mark(icon="history", text=_("arrived %(time)s late", time=self._lasting(late)), tone="late")
            )
        if (
            not ours
            and self.types.get(newest.subject) in ANONYMOUS
            and set(self.types.values()) - {*ANONYMOUS}
        ):
            marks.append(Mark(icon="git-merge", text=_("joined from anonymous"), tone="join"))
        if newest.key in self.later:
            marks.append(Mark(icon="history", text=self.later[newest.key], tone="late"))
        if "inner" in view.classes:
            marks.append(Mark(icon="lock", text=_("inside only")))
        for name, icon in THING_ICONS.items():
            thing = _text(data, name)
            if thing and thing not in view.headline:
                marks.append(Mark(icon, _shortened(thing, 60), "", thing))
        if _text(data, "case_id") == "" and _text(data, "order_id") == "" and "inner" in view.classes:
            marks += [Mark(icon="folder-open", text=view.thread, thread=view.thread)] if view.thread else []
        return marks

    def _feeling(self, one: Entry) -> Mark:
        _, data = self.words.gettext, _data(one)
        display = _display(one)
        wording = display.en if self.words.language == "en" else display.ru
        what = render("{emotion|words}", data, wording, self.words.language)
        actor = one.body.get("actor") or {}
        name = actor.get("name")
        if actor.get("kind") == "agent" and name:
            what = _("%(emotion)s, tagged by %(name)s", emotion=what, name=name)
        elif actor.get("kind") == "bot":
            what = _("%(emotion)s, heard by the bot", emotion=what)
        anger = data.get("emotion") == "anger"
        return Mark(icon="angry" if anger else MOOD_ICONS.get(str(data.get("valence")), "meh"), text=what)

    def _lasting(self, milliseconds: int) -> str:
        return _lasting(milliseconds // 1000, self.words.language)


@lru_cache(4_096)
def _lasting(seconds: int, language: Language) -> str:
    return render("{s|duration}", {"s": seconds}, Wording(""), language)


_ORDER_ENDS: Mapping[str, tuple[str, bool]] = {
    "order_placed": ("Placed", False),
    "order_delivered": ("Delivered", True),
    "order_cancelled": ("Cancelled", True),
    "order_refunded": ("Refunded", True),
}


def order_words(words: Words) -> tuple[str, ...]:
    """The stages that types name and no field: here for who collects what is to be translated."""
    _ = words.gettext
    return _("Placed"), _("Delivered"), _("Cancelled"), _("Refunded")


def _of_one_thing(entry: Entry) -> bool:
    model = CATALOGUE.get(entry.type, Plain)
    return issubclass(model, Threaded) and tuple(model.thread_from) == ("order_id",)


def _display(entry: Entry) -> Display:
    return CATALOGUE.get(entry.type, Plain).display


def _data(entry: Entry) -> dict[str, Any]:
    data: dict[str, Any] = entry.body.get("data", {})
    return data


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    return value.strip() if isinstance(value, str) else ""


def _actor_kind(entry: Entry) -> str:
    return str((entry.body.get("actor") or {}).get("kind", ""))


def _by_bot_alone(spoken: Sequence[Entry]) -> bool:
    kinds = {_actor_kind(one) for one in spoken}
    return "bot" in kinds and "agent" not in kinds


def _begins(line: str, whole: str) -> bool:
    """Whether a line is, or begins with, the beginning of a text, blanks aside."""
    beginning = " ".join(whole.split())[:60].rstrip()
    return bool(line) and (line.startswith(beginning) or beginning.startswith(line.removesuffix("…")))


def _shortened(text: str, most: int = SHOWN_WORDS) -> str:
    return text if len(text) <= most else text[:most].rstrip() + "…"
