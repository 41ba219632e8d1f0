"""`touchbook config`: what the settings are, where each came from, and what it means."""

from __future__ import annotations

import os
from typing import Any

import typer

from touchbook.cli.exits import Commands
from touchbook.cli.options import AsJson, Config, Data, config_values, settings_of
from touchbook.cli.output import show_json, show_rows

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Look at the settings.")


@app.command()
def show(data: Data = None, config: Config = None, as_json: AsJson = False) -> None:
    """Show every setting: its value, where that came from, its environment variable and its meaning."""
    from touchbook.settings import Settings

    settings = settings_of(config, data=data)
    values = settings.model_dump(mode="json")
    in_file = config_values(config)
    in_environment = {name.upper() for name in os.environ}
    shown: dict[str, dict[str, Any]] = {}
    for name, field in Settings.model_fields.items():
        variable = f"{Settings.model_config['env_prefix']}{name}".upper()
        if name == "data" and data is not None:
            origin = "command line"
        elif variable in in_environment:
            origin = "environment"
        else:
            origin = "file" if name in in_file else "default"
        shown[name] = {
            "value": values[name],
            "from": origin,
            "variable": variable,
            "meaning": field.description,
        }
    if as_json:
        show_json(shown)
        return
    show_rows(
        ("setting", "value", "from", "variable", "meaning"),
        ([name, *row.values()] for name, row in shown.items()),
    )
