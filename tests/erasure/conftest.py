from __future__ import annotations

from tests.cli.conftest import _nothing_set_outside, shop

__all__ = ["_nothing_set_outside", "shop"]
