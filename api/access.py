"""Who may do what: one table, and the one gate that every route stands behind.

A route without a row cannot be served: the application does not start with one.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send

from touchbook.api.limits import Rates
from touchbook.api.seen import header_of, seen_of
from touchbook.errors import Refused
from touchbook.streams.control import ROLES, AccessKey, Control

DOORS = ("track", "identify", "page", "screen", "group", "alias", "batch")
SHORT_FORMS = {
    "t": "track",
    "i": "identify",
    "p": "page",
    "s": "screen",
    "g": "group",
    "a": "alias",
    "b": "batch",
}
SEGMENT_PATHS = {
    f"/v1/{form}": call for form, call in {**{name: name for name in DOORS}, **SHORT_FORMS}.items()
}


@dataclass(frozen=True, slots=True)
class Row:
    """Who may use a route. `anyone`: also without a key. `only`: a role that may use it with this parameter alone.
    `key_in_body`: the key may also stand in the body, so the route itself asks the gate once it has read that."""

    roles: frozenset[str] = frozenset()
    anyone: bool = False
    only: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    key_in_body: bool = False


METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ANYONE = Row(anyone=True)
EVERY_ROLE = Row(frozenset(ROLES))
PUBLISHERS = Row(frozenset({"publish", "channel", "agent"}))
AGENTS = Row(frozenset({"agent"}))
SCORE_READERS = Row(frozenset({"agent", "read-scores"}))
ADMINS = Row(frozenset({"admin"}))
SPEAKERS = Row(frozenset({"channel", "agent"}))
OPERATING = Row(frozenset({"agent", "admin"}))

CUSTOMER = "/v1/customers/{ref}"
CARD = "/desk/customers/{id}"
AT_THE_DESK = frozenset({"agent", "admin"})
WITH_CUSTOMERS = frozenset({"agent"})

TABLE: Mapping[str, Row] = {
    **{f"POST {path}": Row(PUBLISHERS.roles, key_in_body=True) for path in SEGMENT_PATHS},
    **{f"OPTIONS {path}": ANYONE for path in SEGMENT_PATHS},
    "POST /v1/events": PUBLISHERS,
    "OPTIONS /v1/events": ANYONE,
    "GET /v1/projects/{write_key}/settings": ANYONE,  # the key stands in the path, and is asked for there
    "OPTIONS /v1/projects/{write_key}/settings": ANYONE,
    f"GET {CUSTOMER}": AGENTS,
    "POST /v1/customers:lookup": AGENTS,
    "POST /v1/contact:reserve": SPEAKERS,
    "POST /v1/contact:confirm": SPEAKERS,
    "POST /v1/contact:release": SPEAKERS,
    "GET /v1/customers": SCORE_READERS,
    "GET /v1/changes": SCORE_READERS,
    f"GET {CUSTOMER}/requests": AGENTS,
    "GET /v1/metrics/response": OPERATING,
    "GET /v1/metrics/response/turns": OPERATING,
    f"GET {CUSTOMER}/context": Row(frozenset({"agent", "channel", "read-scores"})),
    f"GET {CUSTOMER}/timeline": Row(
        frozenset({"agent", "channel"}), only={"channel": ("audience", "customer")}
    ),
    f"GET {CUSTOMER}/timeline/stream": AGENTS,
    f"GET {CUSTOMER}/scores": SCORE_READERS,
    f"GET {CUSTOMER}/scores/{{name}}/explain": SCORE_READERS,
    "POST /v1/scores:batchGet": SCORE_READERS,
    f"GET {CUSTOMER}/buying": SCORE_READERS,
    f"GET {CUSTOMER}/interests": SCORE_READERS,
    "GET /v1/set-aside": Row(frozenset({"publish", "channel", "agent", "admin"})),
    "POST /v1/set-aside/{key}:redrive": ADMINS,
    "GET /v1/scorecards": EVERY_ROLE,
    "GET /v1/schemas": EVERY_ROLE,
    "GET /v1/schemas/{type}": EVERY_ROLE,
    "GET /v1/keys": ADMINS,
    "POST /v1/keys": ADMINS,
    "DELETE /v1/keys/{id}": ADMINS,
    "POST /v1/customers:erase": ADMINS,
    "GET /v1/erasures": ADMINS,
    "GET /v1/erasures/{id}": ADMINS,
    "GET /healthz": ANYONE,
    "GET /readyz": ANYONE,
    "GET /metrics": ANYONE,
    "GET /openapi.json": ANYONE,
    "GET /docs": ANYONE,
    "GET /docs/{file}": ANYONE,
}


DESK: Mapping[str, frozenset[str] | None] = {
    "GET /": None,
    "GET /desk": None,
    "GET /desk/": None,
    "GET /desk/sign-in": None,
    "POST /desk/sign-in": None,
    "POST /desk/sign-out": AT_THE_DESK,
    "POST /desk/preferences": None,
    "GET /desk/static/{path:path}": None,
    "GET /desk/overview": AT_THE_DESK,
    "GET /desk/overview/live": AT_THE_DESK,
    "POST /desk/set-aside/redrive": AT_THE_DESK,
    "GET /desk/standing/{score}": WITH_CUSTOMERS,
    "GET /desk/scorecards": AT_THE_DESK,
    "POST /desk/scorecards/backtest": AT_THE_DESK,
    "POST /desk/find": WITH_CUSTOMERS,
    f"GET {CARD}": WITH_CUSTOMERS,
    f"GET {CARD}/about": WITH_CUSTOMERS,
    f"GET {CARD}/now": WITH_CUSTOMERS,
    f"GET {CARD}/standing": WITH_CUSTOMERS,
    f"POST {CARD}/reveal/{{member}}": WITH_CUSTOMERS,
    f"GET {CARD}/scores": WITH_CUSTOMERS,
    f"GET {CARD}/lines": WITH_CUSTOMERS,
    f"GET {CARD}/scores/{{name}}": WITH_CUSTOMERS,
    f"GET {CARD}/scores/{{name}}/if": WITH_CUSTOMERS,
    f"GET {CARD}/scores/{{name}}/without/{{key}}": WITH_CUSTOMERS,
    f"GET {CARD}/scores/{{name}}/with/{{signal}}": WITH_CUSTOMERS,
    f"POST {CARD}/note": WITH_CUSTOMERS,
    f"GET {CARD}/mood": WITH_CUSTOMERS,
    f"POST {CARD}/mood": WITH_CUSTOMERS,
    f"POST {CARD}/acknowledge": WITH_CUSTOMERS,
    f"GET {CARD}/linking": WITH_CUSTOMERS,
    f"POST {CARD}/linking": WITH_CUSTOMERS,
    f"GET {CARD}/timeline": WITH_CUSTOMERS,
    f"GET {CARD}/touchpoints/{{key}}": WITH_CUSTOMERS,
    f"GET {CARD}/count": WITH_CUSTOMERS,
    f"GET {CARD}/live": WITH_CUSTOMERS,
    **{f"{method} /desk/{{path:path}}": None for method in METHODS},  # to be told that there is nothing
}
"""The agents' page, which asks for a session instead of a key: with keys of these roles. None: it is for everybody."""


class Gate:
    """Stands before one route and lets through whom the table names."""

    def __init__(
        self, app: ASGIApp, route: str, rows: Mapping[str, Row], control: Control, rates: Rates
    ) -> None:
        """`rows` by method."""
        self._app = app
        self._route = route
        self._rows = rows
        self._control = control
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen = seen_of(scope)
        seen.route = self._route
        row = self._rows[scope["method"]]
        if not row.anyone:
            secret = secret_of(header_of(scope, b"authorization"))
            seen.key = self._control.find_key(secret) if secret else None
            if seen.key is not None or not row.key_in_body:
                self._rates.pass_one(allow(row, seen.key, scope["query_string"]))
        await self._app(scope, receive, send)


class Named:
    """Tells the log by which route a request is answered that asks for its key itself."""

    def __init__(self, app: ASGIApp, route: str) -> None:
        self._app = app
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen_of(scope).route = self._route
        await self._app(scope, receive, send)


def allow(row: Row, key: AccessKey | None, query: bytes = b"") -> AccessKey:
    """The key, if the row lets it through. Raises `Refused`: 401 without a key, 403 with one of another role."""
    if key is None:
        raise Refused(
            401,
            "key_missing",
            "expected a known access key: Authorization: Bearer KEY, or Basic with it as user name",
        )
    if key.role not in row.roles:
        allowed = ", ".join(sorted(row.roles))
        raise Refused(
            403, "role_not_allowed", f"expected a key of role {allowed}; this one is of role {key.role}"
        )
    if key.role in row.only:
        name, value = row.only[key.role]
        if parse_qs(query.decode("latin-1")).get(name) != [value]:
            raise Refused(
                403, "role_not_allowed", f"a key of role {key.role} may read this with {name}={value} alone"
            )
    return key


def secret_of(authorization: str | None) -> str | None:
    """The key in an Authorization header: a Bearer token, or Basic's user name. None where there is none.

    A Basic user name without a colon is taken as it is; some SDKs send it so."""
    scheme, _, credentials = (authorization or "").partition(" ")
    credentials = credentials.strip()
    if scheme.lower() == "bearer":
        return credentials or None
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[0] or None
    except ValueError:  # no base64, no UTF-8, or letters that no base64 has
        return None
