"""`touchbook config show`, and how every command finds its settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import answer, key_for, lines, run
from touchbook.settings import Settings


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOUCHBOOK_CLOCK", raising=False)  # as conftest sets it


def test_every_setting_is_shown_with_its_meaning() -> None:
    shown = answer("config", "show")
    assert set(shown) == set(Settings.model_fields)
    assert all(one["meaning"] and one["variable"].startswith("TOUCHBOOK_") for one in shown.values())
    assert all(one["from"] == "default" for one in shown.values())
    assert [row[0] for row in lines("config", "show")] == list(shown)


def test_the_command_line_wins_over_the_environment_over_the_file_over_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "touchbook.toml"
    file.write_text('data = "from-file"\nport = 1111\nhost = "127.0.0.9"\n')
    monkeypatch.setenv("TOUCHBOOK_PORT", "2222")
    monkeypatch.setenv("TOUCHBOOK_DATA", "from-environment")
    shown = answer("config", "show", "--config", file, "--data", "from-command-line")
    told = {
        name: (shown[name]["value"], shown[name]["from"]) for name in ("data", "port", "host", "max_items")
    }
    assert told == {
        "data": ("from-command-line", "command line"),
        "port": (2222, "environment"),
        "host": ("127.0.0.9", "file"),
        "max_items": (Settings.model_fields["max_items"].default, "default"),
    }


def test_the_file_may_be_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "touchbook.toml"
    file.write_text("port = 1111\n")
    monkeypatch.setenv("TOUCHBOOK_CONFIG", str(file))
    assert answer("config", "show")["port"] == {
        **answer("config", "show")["port"],
        "value": 1111,
        "from": "file",
    }


def test_a_file_named_on_the_command_line_is_forgotten_afterwards(tmp_path: Path) -> None:
    file = tmp_path / "touchbook.toml"
    file.write_text("port = 1111\n")
    assert answer("config", "show", "--config", file)["port"]["value"] == 1111
    assert answer("config", "show")["port"]["from"] == "default"


def test_every_command_finds_its_directory_through_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_for(tmp_path, "agent", "desk")
    monkeypatch.setenv("TOUCHBOOK_DATA", str(tmp_path))
    assert [item["source"] for item in answer("keys", "list")["items"]] == ["desk"]


@pytest.mark.parametrize("content", [None, "port = ", 'port = "many"\n', "ports = 1\n", "port = 70000\n"])
def test_a_file_that_is_missing_broken_or_unknown_is_wrong_use(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "touchbook.toml"
    if content is not None:
        file.write_text(content)
    result = run("config", "show", "--config", file, "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr


def test_a_wrong_setting_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOUCHBOOK_MAX_ITEMS", "hunter2")
    result = run("digest")
    assert result.exit_code == 2
    assert "max_items" in result.stderr
    assert "hunter2" not in result.stderr
