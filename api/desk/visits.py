"""One request of one agent: who he is, how he wants to be answered, and whether he may."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

from starlette.requests import Request

from touchbook.api.bodies import read_body
from touchbook.api.desk.session import Agent, Session
from touchbook.api.desk.words import LANGUAGES, Language, Words
from touchbook.errors import Refused

if TYPE_CHECKING:
    from touchbook.api.desk.pages import Desk

HOME = "/desk/overview"
LONGEST_FORM = 256 * 2**10
MOST_FIELDS = 1_000
SAFE = ("GET", "HEAD")
PREFERENCES = "touchbook_desk_preferences"
"""A plain cookie: it says nothing about anybody."""
Theme = Literal["auto", "light", "dark"]
THEMES: tuple[Theme, ...] = get_args(Theme)
_WITHIN = re.compile(r"/desk/[A-Za-z0-9/_.~%?&=+:,*-]*")


@dataclass(frozen=True, slots=True)
class Preferences:
    """What an agent chose. `keys`: whether single keys act; they are in the way of who speaks to his computer."""

    language: Language
    theme: Theme
    keys: bool

    @classmethod
    def of(cls, request: Request) -> Preferences:
        """As the cookie says; where it does not, the browser's own language and theme."""
        said = parse_qs(request.cookies.get(PREFERENCES, ""))
        return cls(
            _one_of(LANGUAGES, said.get("language")) or preferred_language(request),
            _one_of(THEMES, said.get("theme")) or "auto",
            said.get("keys") != ["off"],
        )


@dataclass(slots=True)
class Visit:
    """`now` in milliseconds UTC; `csrf` is the session's token, empty where nobody is signed in."""

    desk: Desk
    request: Request
    agent: Agent
    language: Language
    theme: Theme
    keys: bool
    zone: ZoneInfo
    now: int
    csrf: str
    words: Words
    session: Session | None = field(default=None, repr=False)
    _form: Mapping[str, list[str]] | None = field(default=None, repr=False)

    @property
    def acts(self) -> bool:
        """Whether the request may change something."""
        return self.request.method not in SAFE

    @property
    def fragment(self) -> bool:
        """Whether a part of a page asks, which cannot show a whole one."""
        return "hx-request" in self.request.headers

    @property
    def navigates(self) -> bool:
        """Whether a whole page is to be shown: not to a fragment, an act, or a script that fetches."""
        mode = self.request.headers.get("sec-fetch-mode", "navigate")
        return mode == "navigate" and not self.fragment and not self.acts

    @property
    def signed_in(self) -> bool:
        """Whether the session still holds: for streams, which outlive the look at their beginning."""
        return (
            self.session is not None
            and self.desk.sessions.key(self.session, self.desk.book.now()) is not None
        )

    @property
    def from_our_page(self) -> bool:
        """Whether a page of ours sent this, as far as the browser says: with every act it says one of the two."""
        site = self.request.headers.get("sec-fetch-site")
        if site is not None:
            return site == "same-origin"
        _, _, origin = self.request.headers.get("origin", "").partition("://")
        return origin != "" and origin == self.request.headers.get("host")

    @property
    def here(self) -> str:
        """The page that this visit shows, or that it was made from: to come back to."""
        if self.acts or self.fragment:
            _, _, shown = self.request.headers.get("hx-current-url", "").partition("://")
            return within("/" + shown.partition("/")[2].partition("#")[0])
        query = self.request.scope["query_string"].decode("latin-1")
        return within(f"{self.path}?{query}" if query else self.path)

    @property
    def path(self) -> str:
        """As it was sent. What else the address holds, its host above all, is the sender's to choose."""
        path: str = self.request.scope["path"]
        return path

    def audit(self, act: str, customer: str | None = None, **details: str) -> None:
        """Writes the act into the audit trail: durable when it returns, so to be called in a worker thread. Raises
        StoreUnavailable: then the act must not be done."""
        self.desk.book.audit.append(
            self.agent.key_id, self.agent.name, act, customer, details, self.desk.book.now()
        )

    async def form(self) -> Mapping[str, list[str]]:
        """The fields of an urlencoded form of at most 256 KiB. Raises Refused (400, 413, 415)."""
        if self._form is None:
            self._form = await _read_form(self.request)
        return self._form

    async def holds_token(self) -> bool:
        """Whether the request brings the session's token, in its header or its form."""
        token = self.request.headers.get("x-csrf-token")
        if token is None:
            token = (await self.form()).get("csrf", [""])[0]
        return self.session is not None and self.session.answers(token)


def within(path: str) -> str:
    """The path if it leads into the desk, else the desk's first page: nobody is sent elsewhere by an address."""
    return path if _WITHIN.fullmatch(path) and ".." not in path else HOME


def preferred_language(request: Request) -> Language:
    """The first of the browser's languages that we speak."""
    for tag in request.headers.get("accept-language", "").split(","):
        named = tag.partition(";")[0].strip().partition("-")[0].lower()
        for language in LANGUAGES:
            if language == named:
                return language
    return LANGUAGES[0]


async def _read_form(request: Request) -> Mapping[str, list[str]]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not kind:  # an act without fields
        return {}
    if kind != "application/x-www-form-urlencoded":
        raise Refused(415, "form_expected", "expected a form: application/x-www-form-urlencoded")
    body = await read_body(request.scope, request.receive, LONGEST_FORM)
    try:
        return parse_qs(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        raise Refused(
            400, "form_invalid", f"expected a form in UTF-8 of at most {MOST_FIELDS} fields"
        ) from None


def _one_of(allowed: Sequence[Any], said: Sequence[str] | None) -> Any:
    return said[0] if said and said[0] in allowed else None
