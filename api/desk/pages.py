"""The desk's frame: which routes it has, who may use them, and how pages are written and sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from touchbook.api.desk.assets import shipped
from touchbook.api.desk.session import COOKIE, ROLES, Agent, Sessions
from touchbook.api.desk.visits import HOME, Preferences, Visit
from touchbook.api.desk.words import LANGUAGE_NAMES, LANGUAGES, MINUTE, Language, Words, translations
from touchbook.api.problems import log_failure
from touchbook.api.seen import seen_of
from touchbook.errors import Refused, StoreUnavailable, TouchbookError
from touchbook.policy import Usual
from touchbook.wiring import Book

__all__ = ["HOME", "Desk", "DeskRoute", "Visit"]

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Other origins learn nothing, as with no-referrer. But with that, browsers keep back the origin of our own forms
    # too, and over plain HTTP it is the only sign that an act comes from our page.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""What every answer of the desk carries, unless its route says otherwise."""
SIGN_IN = "/desk/sign-in"
MOST_FRAGMENTS = 4_096
"""Drawings and sentences without fields, which are made once; a page has hundreds of the same few."""
NOBODY = Agent("", "", "", "")

Handler = Callable[[Visit], Awaitable[Response]]


class DeskRoute(Route):
    """A route of the desk, which looks for a session itself, of a key of one of these roles. None: it is for all."""

    roles: frozenset[str] | None = None


class Desk:
    """One per application: what all its pages share."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.zone = ZoneInfo(book.settings.desk_zone)
        self.sessions = Sessions(book.keyring.identity_key, book.control)
        self.words: Mapping[Language, Words] = {one: Words(one, self.zone) for one in LANGUAGES}
        self._stays: tuple[int, Mapping[str, Usual]] = (0, {})

    def route(
        self, path: str, handler: Handler, methods: Sequence[str] = ("GET",), *, roles: Sequence[str] = ROLES
    ) -> Route:
        """A route for who is signed in with a key of these roles. An act has to come from a page of ours, with the
        session's token."""
        return self._route(path, handler, methods, frozenset(roles))

    def open_route(self, path: str, handler: Handler, methods: Sequence[str] = ("GET",)) -> Route:
        """A route for everybody: who signs in is not signed in yet. An act still has to come from a page of ours."""
        return self._route(path, handler, methods, None)

    def page(self, visit: Visit, template: str, status: int = 200, **fields: Any) -> Response:
        """A whole page or a fragment."""
        return Response(self.text(visit, template, **fields), status, media_type="text/html")

    def text(self, visit: Visit, template: str, **fields: Any) -> str:
        """What `page` would send, for streams."""
        found = environment(visit.language).get_template(template)
        return found.render(visit=visit, words=visit.words, **fields)

    def problem(
        self, visit: Visit, status: int, sentence: str, id: str | None = None, **headers: str
    ) -> Response:
        """What went wrong and what to do next: a page, or for a fragment a line above the page it was meant for. Of
        the headers, "_" is read as "-"."""
        answer = self.page(
            visit, "problem_line.html" if visit.fragment else "problem.html", status, sentence=sentence, id=id
        )
        if visit.fragment:
            answer.headers.update({"HX-Retarget": "#told", "HX-Reswap": "innerHTML"})
        answer.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
        return answer

    def usual_stays(self, now: int) -> Mapping[str, Usual]:
        """How long cases and orders usually stay in each stage, as of the last minute: it is counted over all
        customers. Nothing is usual before the watch has looked at them."""
        minute = now // MINUTE
        if self._stays[0] != minute:
            try:
                self._stays = minute, self.book.watch.stays()
            except StoreUnavailable:
                return {}
        return self._stays[1]

    def visit(self, request: Request) -> Visit:
        """Who asks, and how he wants to be answered."""
        at = self.book.now()
        session, key = self.sessions.open(request.cookies.get(COOKIE, ""), at) or (None, None)
        seen_of(request.scope).key = key
        prefers = Preferences.of(request)
        return Visit(
            desk=self,
            request=request,
            agent=Agent.of(key) if key else NOBODY,
            language=prefers.language,
            theme=prefers.theme,
            keys=prefers.keys,
            zone=self.zone,
            now=at,
            csrf=session.csrf if session else "",
            words=self.words[prefers.language],
            session=session,
        )

    def _route(
        self, path: str, handler: Handler, methods: Sequence[str], roles: frozenset[str] | None
    ) -> DeskRoute:
        async def endpoint(request: Request) -> Response:
            visit = self.visit(request)
            answer = await self._answer(visit, handler, roles)
            for name, value in HEADERS.items():
                answer.headers.setdefault(name, value)
            return answer

        route = DeskRoute(path, endpoint, methods=list(methods))
        route.roles = roles
        return route

    async def _answer(self, visit: Visit, handler: Handler, roles: frozenset[str] | None) -> Response:
        """Whatever goes wrong below is told on a page that an agent can read."""
        try:
            return await self._refused(visit, roles) or await handler(visit)
        except HTTPException as error:
            sentence = _of_status(visit, error.status_code) or error.detail
            return self.problem(visit, error.status_code, sentence)
        except TouchbookError as error:
            if error.status < 500 or error.status == 503:
                return self._of_ours(visit, error)
            return self._of_bug(visit, error)
        except Exception as error:
            return self._of_bug(visit, error)

    async def _refused(self, visit: Visit, roles: frozenset[str] | None) -> Response | None:
        """The answer to whom the route is not for; None where it may go on."""
        if visit.acts and not visit.from_our_page:
            return self.problem(visit, 403, _told(visit, "foreign_page"))
        if roles is None:
            return None
        if visit.session is None:
            return self._sign_in_first(visit)
        if visit.agent.role not in roles:
            return self.problem(visit, 403, _told(visit, f"not_for_{visit.agent.role}"))
        if visit.acts and not await visit.holds_token():
            return self.problem(visit, 403, _told(visit, "token_missing"))
        return None

    def _sign_in_first(self, visit: Visit) -> Response:
        there = f"{SIGN_IN}?{urlencode({'next': visit.here})}"
        if visit.navigates:
            return RedirectResponse(there, 303)
        return self.problem(visit, 401, _told(visit, "signed_out"), HX_Redirect=there)

    def _of_ours(self, visit: Visit, error: TouchbookError) -> Response:
        sentence = _told(visit, error.code) or _of_status(visit, error.status) or str(error)
        answer = self.problem(visit, error.status, sentence)
        if isinstance(error, Refused) and error.retry_after is not None:
            answer.headers["Retry-After"] = str(error.retry_after)
        return answer

    def _of_bug(self, visit: Visit, error: Exception) -> Response:
        return self.problem(visit, 500, _of_status(visit, 500), log_failure(visit.request.scope, error))


@cache
def environment(language: Language) -> Environment:
    """What writes pages in this language: made with the first of them, for every desk of the process."""
    words = Words(language, ZoneInfo("UTC"))  # for numbers, which have no zone
    assets = shipped()
    made = Environment(
        loader=FileSystemLoader(str(files("touchbook.api.desk") / "templates")),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    spoken = translations(language)
    made.install_gettext_translations(spoken, newstyle=True)  # type: ignore[attr-defined]

    def ngettext(one: str, more: str, n: int, **fields: object) -> Markup:
        return Markup(spoken.ngettext(one, more, n)) % {"num": words.number(n), **fields}

    @lru_cache(MOST_FRAGMENTS)
    def plain(message: str) -> Markup:
        return Markup(spoken.gettext(message)) % {}

    def gettext(message: str, **fields: object) -> Markup:
        return Markup(spoken.gettext(message)) % fields if fields else plain(message)

    made.globals |= {
        "_": gettext,
        "ngettext": ngettext,
        "static": assets.path,
        "icons": assets.icons,
        "languages": LANGUAGE_NAMES,
        "home": HOME,
    }
    macros = made.get_template("macros.html").module
    made.globals |= {
        name: lru_cache(MOST_FRAGMENTS)(getattr(macros, name)) for name in ("icon", "mark", "shape", "tier")
    }
    # The longest list of words on every page, and always the same.
    made.globals["keys_table"] = Markup(made.get_template("keys_table.html").render())
    return made


def _of_status(visit: Visit, status: int) -> str:
    """What a status means to an agent; empty where it alone says too little."""
    _ = visit.words.gettext
    return {
        404: _("There is nothing here. Perhaps the address was cut off, or the customer was erased."),
        500: _(
            "Something failed on our side. Try it again; if it fails again, tell the operator this number."
        ),
        503: _("The server is busy or cannot keep anything just now. Try it again in a moment."),
    }.get(status, "")


def _told(visit: Visit, code: str) -> str:
    """What a refusal means to an agent; empty where the error's own words have to do."""
    _ = visit.words.gettext
    return {
        "signed_out": _(
            "You are signed out: the session has run out, or the key was revoked. Sign in again."
        ),
        "foreign_page": _("Another page sent this, so it was not done. Do it here."),
        "token_missing": _("This page is from an earlier session. Load it anew and do it again."),
        "not_for_admin": _(
            "This key may administer, not read about customers. That needs a key of role agent."
        ),
        "not_for_agent": _("This needs a key of role admin."),
        "body_too_large": _("This is too long. Shorten it and send it again."),
        "tries_exceeded": _("Too many wrong keys came from here. Wait a minute and try again."),
    }.get(code, "")
