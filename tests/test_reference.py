"""The reference leaves nothing out: every command, setting, route, type, error code and metric has a heading."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from prometheus_client.parser import text_string_to_metric_families

from tests.books import a_book
from tools.reference import FOLDER, PAGES
from touchbook import errors
from touchbook.api.access import SEGMENT_PATHS, TABLE
from touchbook.api.app import create_app
from touchbook.cli.app import app
from touchbook.schemas.catalogue import CATALOGUE
from touchbook.settings import Settings

ROOT = Path(__file__).parent.parent
SOURCES = ("core", "schemas", "streams", "projections", "api", "cli")
RAISED = re.compile(r"""\b(?:Rejected\(|Refused\(\s*\d+,|problem\(\s*\d+,)\s*["'](?P<code>\w+)["']""")
WATCHED = re.compile(r"\.watch(?:_each)?\(\s*\"(?P<name>\w+)\",\s*f?\"")
"""A server's gauge with its meaning, where the code names it: some are told only while a clock runs, or by replicas."""
UNDESCRIBED = re.compile(r"OPTIONS |GET /(docs|openapi)")
"""What browsers ask before they send, and the pages that describe the rest."""


def headings(page: str) -> set[str]:
    return set(re.findall(r"^##+ (.+)$", (FOLDER / page).read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize("page", sorted(PAGES))
def test_the_reference_says_what_the_code_says(page: str) -> None:
    assert (FOLDER / page).read_text("utf-8") == PAGES[page](), "run: python -m tools.reference"


def test_every_command_has_a_heading() -> None:
    def names(path: str, command: object) -> Iterator[str]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield path
        for name, one in (inner or {}).items():
            yield from names(f"{path} {name}".strip(), one)

    found = set(names("", typer.main.get_command(app)))

    assert "keys create" in found
    assert found <= headings("commands.md")


def test_every_setting_has_a_heading_and_says_what_it_means() -> None:
    assert Settings.model_fields.keys() == headings("settings.md")
    assert all(field.description for field in Settings.model_fields.values())


def test_every_route_has_a_heading() -> None:
    short = {f"POST {path}" for path, call in SEGMENT_PATHS.items() if path != f"/v1/{call}"}
    routes = {route for route in TABLE if not UNDESCRIBED.match(route)} - short

    assert routes <= headings("routes.md")
    assert all(route in (FOLDER / "routes.md").read_text("utf-8") for route in short)


def test_every_type_of_touchpoint_has_a_heading() -> None:
    assert CATALOGUE.keys() <= headings("touchpoints.md")


def test_every_error_code_has_a_heading() -> None:
    texts = [path.read_text("utf-8") for folder in SOURCES for path in (ROOT / folder).rglob("*.py")]
    raised = {found["code"] for text in texts for found in RAISED.finditer(text)}
    kinds = [one for one in vars(errors).values() if isinstance(one, type)]
    of_classes = {one.code for one in kinds if issubclass(one, errors.TouchbookError) and "code" in vars(one)}

    assert {"id_missing", "body_too_large"} <= raised
    assert raised | of_classes <= headings("errors.md")


def test_every_metric_has_a_heading(tmp_path: Path) -> None:
    with a_book(tmp_path) as book:
        create_app(book)
        families = list(text_string_to_metric_families(book.metrics.text().decode()))
    named = {f"{one.name}_total" if one.type == "counter" else one.name for one in families}
    named -= {f"{name}_created" for name in named}  # when a counter or histogram began is a line of its own

    assert "touchbook_accepted_total" in named
    assert named <= headings("metrics.md")


def test_every_gauge_has_a_heading_those_too_that_only_some_servers_tell() -> None:
    texts = [path.read_text("utf-8") for folder in SOURCES for path in (ROOT / folder).rglob("*.py")]
    named = {f"touchbook_{found['name']}" for text in texts for found in WATCHED.finditer(text)}

    assert {"touchbook_clock_lag_seconds", "touchbook_staleness_seconds"} <= named
    assert named <= headings("metrics.md")


def test_every_metric_that_a_guide_names_has_a_heading() -> None:
    guides = [path.read_text("utf-8") for path in (ROOT / "docs" / "guides").glob("*.md")]
    named = {name for text in guides for name in re.findall(r"\btouchbook_[a-z_]+", text)}

    assert "touchbook_lag_touchpoints" in named
    assert named <= headings("metrics.md")
