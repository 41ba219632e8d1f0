"""What a test needs from its machine: a reason to skip on a developer's, a failure where CI runs."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def needs_or_skip(reason: str) -> NoReturn:
    """Ends the test: skipped with this reason, failed with it where CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must not skip this: {reason}", pytrace=False)
    pytest.skip(reason)
