"""The `touchbook` command. Nothing heavy is imported before it is needed, so that `touchbook --help` is quick."""

from __future__ import annotations

import gc
import sys

SELDOM = (20_000, 20, 100)
"""How much is made before Python looks for cycles among it. What a command loads stays, and what a request makes holds
hardly any: to look after every 700 objects, as Python does by itself, took a fifth of the CPU of a start, 7 % of that
of single events and 11 % of that of batches."""


def main() -> None:
    """Runs the command named on the command line and ends the process with its exit code."""
    gc.set_threshold(*SELDOM)
    # httpx's own command would bring rich, click and pygments with it, a seventh of the start of whoever asks a server.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    from touchbook.cli.app import app

    app(prog_name="touchbook")
