"""The search box: whom an agent means, by a name, by anything he was ever known by, by a case or an order."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.api.serving import Server
from tests.desk.acting import acting, happened, recorded, words_of
from tests.desk.signed import a_server, visitor
from touchbook.api.desk.find import MOST

pytestmark = pytest.mark.usefixtures("wednesday")

SCRIPT = "<script>alert(1)</script>"
OPTION = re.compile(r'<a role="option" id="found-\d+" href="([^"]+)".*?</a>', re.S)
HREF = re.compile(r"/desk/customers/[0-9a-f]{32}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("find")) as running:
        old = {"user_id": "84213", "email": "marta.old@example.test"}
        new = {"user_id": "84213", "email": "marta.new@example.test", "phone": "+358401234547"}
        recorded(
            running,
            happened("identified", old, 90, traits={"name": "Marta Lindqvist"}),
            happened("identified", new, 5, traits={"name": "Marta Lindqvist"}),
            happened("case_opened", {"user_id": "84213"}, 4, case_id="C-2207", title="Lamp"),
            happened("order_placed", {"user_id": "84213"}, 3, order_id="10482", total=1, currency="EUR"),
            happened("promise_broken", {"user_id": "84213"}, 2, promise_id="p-1"),
            happened("identified", {"user_id": "7"}, 2, traits={"name": "Marten Lind"}),
            *(
                happened("order_placed", who, 9, order_id="777", total=1, currency="EUR")
                for who in ("7", "666")
            ),
            *(happened("identified", f"s{n}", 9, traits={"name": f"Somebody {n}"}) for n in range(9)),
            happened("identified", {"user_id": "666"}, 1, traits={"name": f"Mallory {SCRIPT}"}),
        )
        yield running


@pytest.fixture(scope="module")
def agent(server: Server) -> Iterator[httpx.Client]:
    with acting(server) as client:
        yield client


def id_of(server: Server, user_id: str) -> str:
    return server.book.customers.find(f"user_id:{user_id}").id


def found(client: httpx.Client, text: str, **headers: str) -> list[tuple[str, str]]:
    """(address, all its words) of each customer found."""
    answer = client.post("/desk/find", data={"q": text}, headers=headers)
    assert answer.status_code == 200, answer.text
    return [(one[1], words_of(one[0])) for one in OPTION.finditer(answer.text)]


@pytest.mark.parametrize(
    ("text", "second"),
    [
        ("lindq", "case C-2207, order 10482"),
        ("indqv", "case C-2207, order 10482"),
        ("Marta LINDQVIST", "case C-2207, order 10482"),
        ("marta", "case C-2207, order 10482"),  # her addresses begin so too, which says nothing new
        ("marta.new@example.test", "found by e-mail"),
        ("Marta.Old@Example.test", "found by an old e-mail"),
        ("+358 40 1234547", "found by phone"),
        ("84213", "user 84213"),
        ("C-2207", "case C-2207"),
        ("10482", "order 10482"),
    ],
)
def test_a_customer_is_found_by_whatever_an_agent_has_at_hand(
    server: Server, agent: httpx.Client, text: str, second: str
) -> None:
    [(address, words)] = found(agent, text)
    assert address == f"/desk/customers/{id_of(server, '84213')}"
    assert words == f"Marta Lindqvist {second} trust doubtful"


def test_what_is_found_and_what_matched_are_said_in_russian(agent: httpx.Client) -> None:
    [(_, words)] = found(agent, "marta.old@example.test", **{"Accept-Language": "ru"})
    assert words == "Marta Lindqvist найден по старой почте доверие шаткое"


def test_all_of_whom_something_begins_so_are_offered_each_once(server: Server, agent: httpx.Client) -> None:
    addresses = [address for address, _ in found(agent, "mart")]
    assert sorted(addresses) == sorted(f"/desk/customers/{id_of(server, id)}" for id in ("84213", "7"))


def test_nothing_found_tells_of_an_identifier_that_stays_masked(agent: httpx.Client) -> None:
    text = agent.post("/desk/find", data={"q": "marta.n"}).text
    assert "found by e-mail" in text
    assert "example.test" not in text


def test_what_a_customer_is_called_is_text_and_never_markup(agent: httpx.Client) -> None:
    [(_, words)] = found(agent, "mallory")
    assert words.startswith(f"Mallory {SCRIPT}")
    assert SCRIPT not in agent.post("/desk/find", data={"q": "mallory"}).text


def test_an_unknown_name_is_said_to_be_unknown(agent: httpx.Client) -> None:
    answer = agent.post("/desk/find", data={"q": "Nobody at all"})
    assert "Nobody found." in answer.text
    assert found(agent, "Nobody at all") == []


def test_enter_may_open_at_once_only_who_alone_can_be_meant(agent: httpx.Client) -> None:
    for text, surely in (("10482", True), ("1048", False), ("Marten Lind", False), ("777", False)):
        answer = agent.post("/desk/find", data={"q": text}).text
        assert (text, " data-surely" in answer) == (text, surely)


def test_of_very_many_the_first_are_shown_and_that_there_are_more_is_said(agent: httpx.Client) -> None:
    assert len(found(agent, "someb")) == MOST
    assert "The first 8; write more" in agent.post("/desk/find", data={"q": "someb"}).text


def test_asked_for_nothing_the_customers_this_agent_opened_last_come_first_and_once(server: Server) -> None:
    with acting(server) as agent:
        assert "Write three letters of a name" in agent.post("/desk/find", data={"q": " "}).text
        key = next(key for key in server.book.control.list_keys() if key.role == "agent")
        ids = [id_of(server, id) for id in ("84213", "7", "84213", "666")]
        for at, id in enumerate(ids):
            server.book.audit.append(key.id, "Ines Costa", "viewed", id, {}, at)
        server.book.audit.append("another", "Jonas Weber", "viewed", id_of(server, "7"), {}, 9)
        server.book.audit.append(key.id, "Ines Costa", "viewed", "0" * 32, {}, 10)
        opened = found(agent, "")
        assert [words.split()[0] for _, words in opened] == ["Mallory", "Marta", "Marten"]
        assert all(HREF.fullmatch(address) for address, _ in opened)


def test_who_has_no_script_gets_the_same_as_a_page(server: Server) -> None:
    with acting(server, fragments=False) as agent:
        answer = agent.post("/desk/find", data={"q": "lindq"})
    assert answer.text.startswith("<!doctype html>")
    assert f'<a href="/desk/customers/{id_of(server, "84213")}">Marta Lindqvist</a>' in answer.text


def test_only_a_signed_in_agent_finds_and_only_from_our_own_page(server: Server, agent: httpx.Client) -> None:
    with visitor(server, **{"HX-Request": "true"}) as stranger:
        assert stranger.post("/desk/find", data={"q": "lindq"}).status_code == 401
    with acting(server, "admin") as admin:
        assert admin.post("/desk/find", data={"q": "lindq"}).status_code == 403
        assert 'id="find"' not in admin.get("/desk/overview").text
    forged = {"X-CSRF-Token": "", "Origin": "https://elsewhere.example.test"}
    assert agent.post("/desk/find", data={"q": "lindq"}, headers=forged).status_code == 403
    assert agent.get("/desk/find", params={"q": "lindq"}).status_code in (404, 405)
