"""How thorough a run is: CI=true or THOROUGH=1 asks for all there is."""

from __future__ import annotations

import os

THOROUGH = any(os.environ.get(name, "").lower() in ("1", "true") for name in ("CI", "THOROUGH"))


def examples(most: int) -> int:
    """How many of a property a run tries: `most` of them where it is thorough, else a quarter, and three at least."""
    return most if THOROUGH else max(most // 4, min(most, 3))
