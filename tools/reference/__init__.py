"""Writes docs/reference/ anew from the code: `python -m tools.reference`. A test compares the two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tools.reference.commands import commands_page
from tools.reference.errors import errors_page
from tools.reference.metrics import metrics_page
from tools.reference.routes import routes_page
from tools.reference.settings import settings_page
from tools.reference.touchpoints import touchpoints_page

FOLDER = Path(__file__).parent.parent.parent / "docs" / "reference"

PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands_page,
    "errors.md": errors_page,
    "metrics.md": metrics_page,
    "routes.md": routes_page,
    "settings.md": settings_page,
    "touchpoints.md": touchpoints_page,
}
