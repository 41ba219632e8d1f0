from __future__ import annotations

import base64

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.api.serving import Server, problem_of
from touchbook.api.access import TABLE
from touchbook.api.app import guard
from touchbook.streams.control import ROLES

ORIGIN = "https://shop.example.test"
HEADERS = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}


def path_of(route: str, server: Server) -> str:
    path = route.split(" ")[1]
    fills = {"ref": "user_id:42", "name": "loyalty", "type": "order_placed", "file": "docs.js"}
    fills |= {"key": "0" * 32, "id": "unknown", "write_key": server.key(origins=(ORIGIN,))}
    for name, value in fills.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def status_of(server: Server, route: str, role: str | None, query: str = "") -> int:
    headers = {**HEADERS, **(server.as_(role) if role else {})}
    method = route.split(" ")[0]
    with server.http.stream(method, path_of(route, server) + query, headers=headers) as answer:
        return answer.status_code


def test_every_route_has_a_row_and_every_row_a_route(server: Server) -> None:
    app = server.book and server.http.get("/openapi.json").json()
    documented = {f"{method.upper()} {path}" for path, item in app["paths"].items() for method in item}
    undocumented = {name for name in TABLE if name.startswith("OPTIONS ")}
    short_forms = {name for name in TABLE if name.startswith("POST ") and len(name) == len("POST /v1/t")}
    pages = {"GET /docs", "GET /docs/{file}", "GET /openapi.json"}
    assert documented | undocumented | short_forms | pages == set(TABLE)


def test_a_route_without_a_row_cannot_be_served(server: Server) -> None:
    async def endpoint(request: Request) -> Response:
        return Response()

    with pytest.raises(LookupError, match="GET /v1/unheard-of has no row"):
        guard(Route("/v1/unheard-of", endpoint), server.book)


@pytest.mark.parametrize("role", [*ROLES, None])
def test_the_table_decides_for_every_route(server: Server, role: str | None) -> None:
    server.publish({"type": "identify", "userId": "42", "messageId": "m"})
    for route, row in TABLE.items():
        status = status_of(server, route, role)
        if row.anyone:
            assert status not in (401, 403), route
        elif role is None:
            assert status == 401, route
        elif role in row.roles and role not in row.only:
            assert status not in (401, 403), route
        else:
            assert status == 403, route


def test_a_channel_reads_the_customers_own_timeline_and_no_other(server: Server) -> None:
    server.publish({"type": "identify", "userId": "42", "messageId": "m"})
    timeline = "/v1/customers/user_id:42/timeline"
    assert server.get(f"{timeline}?audience=customer", role="channel").status_code == 200
    for query in ("", "?audience=agent", "?audience=customer&audience=agent", "?Audience=customer"):
        refused = server.get(timeline + query, role="channel")
        assert (refused.status_code, problem_of(refused)["code"]) == (403, "role_not_allowed")


def test_what_each_role_is_kept_from(server: Server) -> None:
    kept_from = {
        "publish": ["GET /v1/customers/{ref}/context", "GET /v1/customers/{ref}/scores", "GET /v1/keys"],
        "channel": ["GET /v1/customers/{ref}", "GET /v1/customers/{ref}/scores", "GET /v1/keys"],
        "read-scores": ["GET /v1/customers/{ref}", "GET /v1/customers/{ref}/timeline", "POST /v1/track"],
        "agent": ["GET /v1/keys", "POST /v1/set-aside/{key}:redrive"],
        "admin": ["GET /v1/customers/{ref}", "GET /v1/customers/{ref}/timeline", "POST /v1/track"],
    }
    for role, routes in kept_from.items():
        assert [route for route in routes if status_of(server, route, role) != 403] == []


def test_a_key_is_heard_in_every_form_that_sdks_send(server: Server) -> None:
    key = server.key()
    with_colon = base64.b64encode(f"{key}:".encode()).decode()
    without = base64.b64encode(key.encode()).decode()
    for header in (f"Bearer {key}", f"bearer {key}", f"Basic {with_colon}", f"Basic {without}"):
        assert server.http.get("/v1/schemas", headers={"Authorization": header}).status_code == 200


def test_what_is_no_key_is_answered_401(server: Server) -> None:
    for header in ("", "Bearer", "Bearer wrong", "Basic !!!", "Basic /////w==", "Digest abc", server.key()):
        answer = server.http.get("/v1/schemas", headers={"Authorization": header})
        assert (answer.status_code, problem_of(answer)["code"]) == (401, "key_missing")


def test_a_revoked_key_opens_nothing(server: Server) -> None:
    made = server.http.post("/v1/keys", json={"role": "agent", "source": "desk"}, headers=server.as_("admin"))
    heard = {"Authorization": f"Bearer {made.json()['key']}"}
    assert server.http.get("/v1/schemas", headers=heard).status_code == 200
    server.http.delete(f"/v1/keys/{made.json()['id']}", headers=server.as_("admin"))
    assert server.http.get("/v1/schemas", headers=heard).status_code == 401
