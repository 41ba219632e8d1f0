"""The children with the shim, and the small disk, of the tests of faults."""

from tests.faults.conftest import forked, shimmed, small_disk

__all__ = ["forked", "shimmed", "small_disk"]
