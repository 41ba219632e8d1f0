"""Signing in and out, what an agent prefers, static files, and what is answered where there is nothing."""

from __future__ import annotations

from urllib.parse import urlencode

from anyio.to_thread import run_sync
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from touchbook.api.access import METHODS
from touchbook.api.desk.assets import PATH as STATIC
from touchbook.api.desk.assets import shipped
from touchbook.api.desk.pages import SIGN_IN, Desk
from touchbook.api.desk.session import COOKIE, ROLES, SESSION_SECONDS, Agent, Session, Tries
from touchbook.api.desk.visits import HOME, PREFERENCES, THEMES, Visit, within
from touchbook.api.desk.words import LANGUAGES

YEAR_SECONDS = 365 * 24 * 3600


def routes(desk: Desk) -> list[Route]:
    tries = Tries()

    async def signing_in(visit: Visit) -> Response:
        return await sign_in(visit, tries)

    return [
        desk.open_route("/", home),
        desk.open_route("/desk", home),
        desk.open_route("/desk/", home),
        desk.open_route(SIGN_IN, ask_for_key),
        desk.open_route(SIGN_IN, signing_in, ["POST"]),
        desk.route("/desk/sign-out", sign_out, ["POST"]),
        desk.open_route("/desk/preferences", prefer, ["POST"]),
        desk.open_route(f"{STATIC}/{{path:path}}", static),
    ]


def last_routes(desk: Desk) -> list[Route]:
    """After all others: what no page answers."""
    return [desk.open_route("/desk/{path:path}", nothing_here, METHODS)]


async def home(visit: Visit) -> Response:
    return RedirectResponse(HOME, 303)


async def ask_for_key(visit: Visit) -> Response:
    return visit.desk.page(visit, "sign_in.html", next=_next(visit.request), refused=None)


async def sign_in(visit: Visit, tries: Tries) -> Response:
    """With a key of role agent or admin; any other is told what it is for, and what opens nothing counts as a try."""
    form = await visit.form()
    following = within(form.get("next", [HOME])[0])
    address = visit.request.client.host if visit.request.client else ""
    tries.check(address)
    key = await run_sync(visit.desk.book.control.find_key, form.get("key", [""])[0].strip())
    if key is None:
        tries.failed(address)
    if key is None or key.role not in ROLES:
        why = _wrong_key(visit, key.role if key else None)
        return visit.desk.page(visit, "sign_in.html", 403, next=following, refused=why)
    visit.agent = Agent.of(key)
    await run_sync(visit.audit, "signed_in")
    answer = RedirectResponse(following, 303)
    sealed = visit.desk.sessions.seal(Session.begin(key, visit.now))
    _set_cookie(answer, visit.request, COOKIE, sealed, SESSION_SECONDS)
    return answer


async def sign_out(visit: Visit) -> Response:
    await run_sync(visit.audit, "signed_out")
    answer = RedirectResponse(SIGN_IN, 303)
    answer.delete_cookie(COOKIE, path="/desk", httponly=True, samesite="strict")
    return answer


async def prefer(visit: Visit) -> Response:
    """Language, theme, and whether single keys do something; what is not named stays."""
    form = await visit.form()
    chosen = {"language": visit.language, "theme": visit.theme, "keys": "on" if visit.keys else "off"}
    for name, allowed in (("language", LANGUAGES), ("theme", THEMES), ("keys", ("on", "off"))):
        asked = form.get(name, [""])[-1]
        if asked in allowed:
            chosen[name] = asked
    answer = (
        Response(status_code=204)
        if visit.fragment
        else RedirectResponse(within(form.get("next", [HOME])[0]), 303)
    )
    _set_cookie(answer, visit.request, PREFERENCES, urlencode(chosen), YEAR_SECONDS)
    return answer


async def static(visit: Visit) -> Response:
    found = shipped().answer(visit.request, visit.request.path_params["path"])
    if found is None:
        raise HTTPException(404)
    return found


async def nothing_here(visit: Visit) -> Response:
    raise HTTPException(404)


def _next(request: Request) -> str:
    return within(request.query_params.get("next", HOME))


def _wrong_key(visit: Visit, role: str | None) -> str:
    """What a key is for that does not open the desk."""
    _ = visit.words.gettext
    if role is None:
        return _("No such key, or it was revoked. Copy the whole of it; an administrator can make a new one.")
    if role == "read-scores":
        return _("This key may read scores, not customers. The desk needs a key of role agent.")
    return _("This key may publish, not read. The desk needs a key of role agent.")


def _set_cookie(answer: Response, request: Request, name: str, value: str, seconds: int) -> None:
    answer.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/desk",
        httponly=True,
        samesite="strict",
        secure=request.scope["scheme"] == "https",
    )
