"""The wheel: complete, and working where the checkout is not."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parent.parent
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS: dict[str, str] = CONFIG["tool"]["setuptools"]["package-dir"]
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")

LOOK_AROUND = """
import json, sqlite3
from importlib.resources import files
import touchbook
from touchbook.schemas.catalogue import CATALOGUE
from touchbook.schemas.mapping import Mapping
from touchbook.settings import Settings
from touchbook.wiring import catalogue_of, scorecards_of

def names(package, folder, ending):
    return [one.name for one in files(package).joinpath(folder).iterdir() if one.name.endswith(ending)]

settings = Settings()
print(json.dumps({
    "home": str(files("touchbook")),
    "version": touchbook.__version__,
    "scorecards": len(scorecards_of(settings, catalogue_of(settings)).describe()),
    "mapped": [entry.source for entry in Mapping.load().entries],
    "fingerprint": catalogue_of(settings).fingerprint,
    "types": sorted(CATALOGUE),
    "published": names("touchbook.schemas", "published", ".json"),
    "samples": names("touchbook.schemas", "samples", ".yaml"),
    "typed": files("touchbook").joinpath("py.typed").is_file(),
}))
"""


def on_disk() -> dict[str, Path]:
    """Every file in the folders of code, by the path it must have in the wheel."""
    return {
        f"{package.replace('.', '/')}/{path.relative_to(ROOT / top)}": path
        for package, top in FOLDERS.items()
        for path in (ROOT / top).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that the build leaves nothing in the checkout, and nothing there helps it."""
    copy = tmp_path_factory.mktemp("source")
    for top in FOLDERS.values():
        shutil.copytree(ROOT / top, copy / top, ignore=LEFT_OUT)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, copy)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", str(copy)]
    done = subprocess.run(build, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = (copy / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it, and of this one only the libraries; no network is asked."""
    home = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True, timeout=120)
    python = home / "bin" / "python"
    install = ["install", "--no-deps", "--no-index", "--no-compile", "--quiet", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, *install], check=True, timeout=120)
    libraries = sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)})
    (Path(libraries) / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home


def run(installed: Path, directory: Path, *command: str) -> subprocess.CompletedProcess[str]:
    program, *arguments = command
    return subprocess.run(
        [installed / "bin" / program, *arguments],
        cwd=directory,
        env=alone(),
        capture_output=True,
        text=True,
        timeout=120,
    )


def alone() -> dict[str, str]:
    """The environment without what would lead back to the checkout or to somebody's settings."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "TOUCHBOOK_", "VIRTUAL_ENV"))
    }


@contextmanager
def serving(installed: Path, directory: Path) -> Iterator[httpx.Client]:
    program = str(installed / "bin" / "touchbook")
    command = [program, "serve", "--data", "book", "--port", "0", "--json"]
    with subprocess.Popen(command, cwd=directory, env=alone(), stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            url = json.loads(server.stdout.readline())["url"]
            with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
                yield client
        finally:
            server.terminate()


def test_the_wheel_holds_every_folder_of_code_and_nothing_else() -> None:
    packages = {
        ".".join([package, *folder.relative_to(ROOT / top).parts])
        for package, top in FOLDERS.items()
        for folder in {
            module.parent for module in (ROOT / top).rglob("*.py")
        }  # also one that lacks __init__.py
    }

    assert set(CONFIG["tool"]["setuptools"]["packages"]) == packages
    assert all(name.split(".")[0] == "touchbook" for name in packages)


def test_every_file_in_the_folders_of_code_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert held == set(on_disk())


def test_the_installed_command_works_far_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    told = run(installed, tmp_path, "touchbook", "--help")

    assert told.returncode == 0, told.stderr
    assert "serve" in told.stdout


def test_the_installed_package_finds_the_files_it_ships(installed: Path, tmp_path: Path) -> None:
    told = run(installed, tmp_path, "python", "-c", LOOK_AROUND)

    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert Path(found["home"]).is_relative_to(installed)
    assert found["version"] == CONFIG["project"]["version"]
    assert found["scorecards"] == 7
    assert "Order Completed" in found["mapped"]
    assert found["typed"]
    assert set(found["published"]) == {path.name for path in (ROOT / "schemas/published").glob("*.json")}
    assert set(found["samples"]) == {path.name for path in (ROOT / "schemas/samples").glob("*.yaml")}


def test_a_server_from_the_wheel_answers_with_its_pages_and_its_schemas(
    installed: Path, tmp_path: Path
) -> None:
    for_admins = ["--role", "admin", "--source", "ops", "--data", "book", "--json"]
    made = run(installed, tmp_path, "touchbook", "keys", "create", *for_admins)
    key = json.loads(made.stdout)["key"]
    with serving(installed, tmp_path) as server:
        page = server.get("/docs")
        linked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        files = {path: server.get(f"/{path.lstrip('/')}") for path in linked}
        schemas = server.get("/v1/schemas", headers={"Authorization": f"Bearer {key}"})
        described = server.get("/openapi.json")
        desk = server.get("/desk/sign-in", headers={"Accept-Language": "ru"})
        needed = set(re.findall(r'(?:src|href)="(/[^"#]+)[^"]*"', desk.text))
        files |= {path: server.get(path) for path in needed}

    assert page.status_code == 200
    assert {path.rsplit("/", 1)[-1] for path in linked} >= {"swagger-ui.css", "swagger-ui-bundle.js"}
    assert all(answer.status_code == 200 and answer.content for answer in files.values()), files
    assert len(schemas.json()["items"]) > 50
    assert described.json()["openapi"].startswith("3.")
    assert "Ваш ключ агента" in desk.text
    assert {path.rsplit("/", 1)[-1] for path in needed} == {"base.css", "desk.js", "icons.svg", "mark.svg"}
