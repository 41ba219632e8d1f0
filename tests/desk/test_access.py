"""Who may use which page of the desk: the table, route by route."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from starlette.responses import Response

from tests.api.serving import Server
from tests.desk.signed import a_server, signed_in, token_of, visitor
from touchbook.api.access import DESK
from touchbook.api.app import create_app, guard
from touchbook.api.desk.pages import Desk, DeskRoute, Visit

pytestmark = pytest.mark.usefixtures("wednesday")

HEX = "0" * 32
FILLS = {
    "id": HEX,
    "member": HEX,
    "key": HEX,
    "name": "trust",
    "score": "trust",
    "path:path": "nothing",
    "signal": "visit",
}
OPEN = {
    "/",
    "/desk",
    "/desk/",
    "/desk/sign-in",
    "/desk/preferences",
    "/desk/static/{path:path}",
    "/desk/{path:path}",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("access")) as running:
        yield running


def path_of(route: str) -> str:
    path = route.split(" ")[1]
    for name, value in FILLS.items():
        path = path.replace(f"{{{name}}}", value)
    assert "{" not in path, f"{path}: what stands there?"
    return path


def asked(client: httpx.Client, route: str, token: str = "") -> httpx.Response:
    """The head of the answer: a live stream has no end."""
    with client.stream(route.split(" ")[0], path_of(route), headers={"X-CSRF-Token": token}) as answer:
        return answer


def test_every_route_of_the_desk_has_a_row_and_every_row_a_route(server: Server) -> None:
    routes = [route for route in create_app(server.book).routes if route.path == "/" or "/desk" in route.path]  # type: ignore[attr-defined]
    assert all(isinstance(route, DeskRoute) for route in routes)
    named = {
        f"{method} {route.path}": route.roles
        for route in routes
        if isinstance(route, DeskRoute)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert named == DESK


def test_only_the_way_in_and_what_is_needed_for_it_is_open_and_customers_are_for_agents_alone() -> None:
    assert {route.split(" ")[1] for route, roles in DESK.items() if roles is None} == OPEN
    of_customers = {roles for route, roles in DESK.items() if "customers" in route or "find" in route}
    assert of_customers == {frozenset({"agent"})}


def test_a_route_that_the_table_does_not_know_or_knows_otherwise_cannot_be_served(server: Server) -> None:
    async def handler(visit: Visit) -> Response:
        return Response()

    desk = Desk(server.book)
    for route in (
        desk.route("/desk/unheard-of", handler),
        desk.open_route("/desk/overview", handler),
        desk.route("/desk/find", handler, ["POST"], roles=("agent", "admin")),
    ):
        with pytest.raises(LookupError, match="access table"):
            guard(route, server.book)


def test_who_is_not_signed_in_gets_nowhere_else(server: Server) -> None:
    client = visitor(server)
    for route, roles in DESK.items():
        answer = asked(client, route)
        to_sign_in = answer.status_code == 401 or "sign-in" in answer.headers.get("location", "")
        assert to_sign_in == (roles is not None), route


@pytest.mark.parametrize("role", ["agent", "admin"])
def test_the_table_decides_for_every_route(server: Server, role: str) -> None:
    client = signed_in(server, role)
    token = token_of(client)
    for route, roles in DESK.items():
        if route in ("POST /desk/sign-out", "POST /desk/sign-in"):
            continue
        refused = asked(client, route, token).status_code in (401, 403)
        assert refused == (roles is not None and role not in roles), route
