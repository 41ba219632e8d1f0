"""The `touchbook` command. Nothing heavy is imported before it is needed, so that `touchbook --help` is quick."""

from __future__ import annotations


def main() -> None:
    """Runs the command named on the command line and ends the process with its exit code."""
    from touchbook.cli.app import app

    app(prog_name="touchbook")
