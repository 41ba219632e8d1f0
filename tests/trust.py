"""Whose certificates HTTP clients believe is read once for all of them.

Tests speak to servers of their own without TLS, and each client would read the authorities of the whole world first:
25 ms of CPU, a tenth of what a test of a route takes.
"""

from __future__ import annotations

from functools import cache

from httpx._transports import default


def read_once() -> None:
    """May be called again."""
    if not hasattr(default.create_ssl_context, "cache_info"):
        default.create_ssl_context = cache(default.create_ssl_context)
