"""Arrows point one way, and no module can be added without saying where it stands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("schemas", "streams", "projections", "api", "cli")


@pytest.fixture
def view(tmp_path: Path) -> Path:
    """The import package as one tree, which tools that do not know the folders' mapping can read."""
    package = tmp_path / "touchbook"
    package.mkdir()
    for module in (ROOT / "core").iterdir():
        if module.name != "__pycache__":
            (package / module.name).symlink_to(module)
    for name in PACKAGES:
        (package / name).symlink_to(ROOT / name)
    return tmp_path


def lint(view: Path) -> subprocess.CompletedProcess[str]:
    linter = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [linter, "--config", ROOT / "pyproject.toml", "--no-cache"],
        cwd=view,
        env={**os.environ, "PYTHONPATH": str(view), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def layers() -> list[str]:
    """Every module named in the layers contract, the highest first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = (one for one in contracts if one["type"] == "layers")
    return [name.strip() for layer in contract["layers"] for name in layer.split(":")]


def test_every_contract_about_imports_is_kept(view: Path) -> None:
    outcome = lint(view)

    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "0 broken" in outcome.stdout


def test_the_layers_name_every_module_of_core_and_every_package_once() -> None:
    on_disk = {module.stem for module in (ROOT / "core").glob("*.py")} - {"__init__"}

    assert sorted(layers()) == sorted({*on_disk, *PACKAGES})


def test_a_new_module_without_a_layer_is_noticed(view: Path) -> None:
    (view / "touchbook" / "newcomer.py").write_text("")

    assert "newcomer" in lint(view).stdout


@pytest.mark.parametrize(
    ("package", "imports", "broken"),
    [
        ("schemas", "touchbook.identity", "arrows point one way"),
        ("projections", "touchbook.streams.journal", "arrows point one way"),
        ("streams", "touchbook.wiring", "arrows point one way"),
        ("api", "touchbook.cli.app", "arrows point one way"),
        ("api", "sqlite3", "stores keep their driver to themselves"),
        ("projections", "fastapi", "HTTP is served by api and nobody else"),
        ("streams", "rich", "terminals belong to cli"),
        ("projections", "cryptography", "one module makes bodies unreadable"),
    ],
)
def test_an_import_that_breaks_a_contract_is_noticed(
    view: Path, package: str, imports: str, broken: str
) -> None:
    folder = view / "touchbook" / package
    folder.unlink()
    shutil.copytree(ROOT / package, folder, ignore=shutil.ignore_patterns("__pycache__", "static", "samples"))
    (folder / "newcomer.py").write_text(f"import {imports}\n")

    outcome = lint(view)

    assert outcome.returncode == 1
    assert f"{broken} BROKEN" in outcome.stdout
