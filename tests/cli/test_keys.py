"""`touchbook keys`."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.cli.commands import answer, key_for, lines, run
from tests.cli.conftest import Shop


def test_a_key_can_be_made_before_the_first_start(tmp_path: Path) -> None:
    made = answer(
        "keys",
        "create",
        "--data",
        tmp_path / "new",
        "--role",
        "publish",
        "--source",
        "shop",
        "--channel",
        "web",
    )
    assert made["key"].startswith("tb_publish_")
    assert {name: made[name] for name in ("role", "source", "channel", "origins", "revoked_at")} == {
        "role": "publish", "source": "shop", "channel": "web", "origins": [], "revoked_at": None,
    }  # fmt: skip
    assert len(made["id"]) == 16


def test_a_key_bears_the_name_of_the_person_who_gets_it(tmp_path: Path) -> None:
    given = ("--role", "agent", "--source", "desk", "--name", "Ines Costa")
    made = answer("keys", "create", "--data", tmp_path, *given)
    assert made["name"] == "Ines Costa"
    assert [key["name"] for key in answer("keys", "list", "--data", tmp_path)["items"]] == ["Ines Costa"]
    assert "Ines Costa" in run("keys", "list", "--data", tmp_path).stdout


def test_an_origin_makes_a_key_public_and_may_be_repeated(tmp_path: Path) -> None:
    origins = ("https://shop.example.test", "http://localhost:8080")
    options = [part for origin in origins for part in ("--origin", origin)]
    made = answer("keys", "create", "--data", tmp_path, "--role", "publish", "--source", "page", *options)
    assert made["origins"] == list(origins)


def test_a_key_made_beside_a_running_server_opens_it_until_it_is_revoked(shop: Shop) -> None:
    made = answer("keys", "create", "--data", shop.data, "--role", "admin", "--source", "guest")
    ask = {"Authorization": f"Bearer {made['key']}"}

    def status() -> int:
        return httpx.get(f"{shop.url}/v1/scorecards", headers=ask, trust_env=False).status_code

    def becomes(wanted: int) -> bool:
        """The server notices within a quarter of a second; on a busy machine later."""
        return any(status() == wanted for _ in range(500))

    assert becomes(200)
    assert answer("keys", "revoke", made["id"], "--data", shop.data)["revoked_at"] is not None
    assert becomes(401)


def test_the_plain_answer_is_the_key_alone_so_that_a_shell_can_keep_it(tmp_path: Path) -> None:
    result = run("keys", "create", "--data", tmp_path, "--role", "agent", "--source", "desk")
    assert result.stdout.startswith("tb_agent_")
    assert result.stdout.count("\n") == 1
    assert result.stdout.strip() not in result.stderr


def test_a_list_shows_every_key_and_no_secret(tmp_path: Path) -> None:
    secrets = [key_for(tmp_path, "publish", "shop"), key_for(tmp_path, "agent", "desk")]
    listed = run("keys", "list", "--data", tmp_path, "--json").stdout
    assert [item["source"] for item in answer("keys", "list", "--data", tmp_path)["items"]] == [
        "shop",
        "desk",
    ]
    assert not any(secret in listed for secret in secrets)
    assert [row[1:3] for row in lines("keys", "list", "--data", tmp_path)] == [
        ["publish", "shop"],
        ["agent", "desk"],
    ]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("--role", "king", "--source", "shop"), "role"),
        (("--role", "publish", "--source", "Shop!"), "source"),
        (("--role", "agent", "--source", "desk", "--origin", "https://desk.example.test"), "origins"),
    ],
)
def test_a_wrong_argument_is_named_and_is_wrong_use(
    tmp_path: Path, given: tuple[str, ...], named: str
) -> None:
    result = run("keys", "create", "--data", tmp_path, *given, "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{named}: expected" in result.stderr or f"{named}: only" in result.stderr


def test_an_unknown_key_cannot_be_revoked(tmp_path: Path) -> None:
    key_for(tmp_path, "publish")
    result = run("keys", "revoke", "0123456789abcdef", "--data", tmp_path)
    assert result.exit_code == 1
    assert "keys list" in result.stderr


@pytest.mark.parametrize("command", [("list",), ("revoke", "0123456789abcdef")])
def test_looking_at_keys_makes_no_directory(tmp_path: Path, command: tuple[str, ...]) -> None:
    result = run("keys", *command, "--data", tmp_path / "nowhere")
    assert result.exit_code == 1
    assert not (tmp_path / "nowhere").exists()
