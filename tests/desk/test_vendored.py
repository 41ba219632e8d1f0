"""What the desk carries along of other projects, and the sprite of its icons."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import vendor

ICON = (
    b'<svg xmlns="http://www.w3.org/2000/svg" class="lucide" width="24"><path d="M1 2"/><circle r="3"/></svg>'
)
Pack = Callable[[dict[str, bytes]], None]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of vendored files whose lock names one package of icons, of which two are shown."""
    made = tmp_path / "static" / "vendor"
    made.mkdir(parents=True)
    lock = {
        "icons": {
            "package": "drawings",
            "version": "1.0.0",
            "licence": "ISC",
            "files": {"LICENSE": vendor.sha256_of(b"terms")},
            "icons": {},
            "sprite": "",
        }
    }
    (made / vendor.LOCK).write_text(json.dumps(lock))
    monkeypatch.setattr(vendor, "icons_shown", lambda: {"mail", "phone"})
    return made


@pytest.fixture
def pack(monkeypatch: pytest.MonkeyPatch) -> Pack:
    """Says what the package holds from now on, instead of a registry."""

    def holds(files: dict[str, bytes]) -> None:
        def packed(spec: str, names: list[str]) -> dict[str, bytes]:
            assert spec in ("drawings@1.0.0", "drawings@latest")
            return {name: files[name] for name in names}

        monkeypatch.setattr(vendor, "packed", packed)

    return holds


def package(version: str = "1.0.0", **drawings: bytes) -> dict[str, bytes]:
    about = json.dumps({"version": version, "license": "ISC"}).encode()
    icons = {"mail": ICON, "phone": ICON, **drawings}
    return {
        "package.json": about,
        "LICENSE": b"terms",
        **{f"icons/{name}.svg": icons[name] for name in icons},
    }


def test_the_vendored_files_are_those_that_were_locked_and_their_licences_lie_beside_them() -> None:
    assert vendor.problems(vendor.DESK) == []
    lock = vendor.read_lock(vendor.DESK)
    assert {name: entry["licence"] for name, entry in lock.items()} == {
        "htmx": "BSD-0-Clause",
        "lucide": "ISC",
        "uplot": "MIT",
    }
    assert all("LICENSE" in entry["files"] for entry in lock.values())
    assert re.match(r"4\.0\.", lock["htmx"]["version"])
    assert (vendor.DESK / "htmx" / "htmx.min.js").is_file()
    assert (vendor.DESK / "htmx" / "hx-sse.min.js").is_file()


def test_the_sprite_holds_every_icon_that_is_shown_and_no_other() -> None:
    symbols = re.findall(r'<symbol id="([^"]+)"', (vendor.DESK.parent / vendor.SPRITE).read_text())
    assert len(symbols) == len(set(symbols))
    shapes = {f"s-{name}" for name in vendor.SHAPES}
    assert set(symbols) == shapes | {f"i-{name}" for name in vendor.icons_shown()}
    assert {"i-mail", "i-search", "i-circle", "s-bad"} <= set(symbols)


def test_icons_are_found_in_templates_and_code_however_they_are_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = tmp_path / "desk"
    (desk / "templates").mkdir(parents=True)
    (desk / "templates" / "a.html").write_text(
        '{{ icon("mail") }}{{ icon("smile" if mood == "glad" else \'frown\') }}{{ icon(ICONS[kind]) }}'
    )
    (desk / "a.py").write_text(
        'MOOD_ICONS: dict[str, str] = {"glad": "laugh"}\nICONS = {"a": "store", "b": ("package", "truck")}\n'
        'Row(icon="phone" if late else "hourglass", name="bad")\nicon = "no icon"\n'
    )
    monkeypatch.setattr(vendor, "DESK", desk / "static" / "vendor")
    shown = vendor.icons_shown()
    found = {"mail", "smile", "frown", "laugh", "store", "package", "truck", "phone", "hourglass"}
    assert found <= shown
    assert not {"glad", "bad", "no icon", "a"} & shown
    assert "shopping-bag" in shown  # of a display block


def test_what_is_fetched_for_the_first_time_is_locked_and_laid(folder: Path, pack: Pack) -> None:
    pack(package())
    vendor.fetch(folder, update=False)
    assert vendor.problems(folder) == []
    assert (folder / "icons" / "LICENSE").read_bytes() == b"terms"
    sprite = (folder.parent / vendor.SPRITE).read_text()
    drawn = '<symbol id="i-mail" viewBox="0 0 24 24"><path d="M1 2"/><circle r="3"/></symbol>'
    assert drawn in sprite
    assert "lucide" not in sprite


def test_a_file_or_an_icon_that_is_not_the_one_locked_is_refused_before_anything_is_written(
    folder: Path, pack: Pack
) -> None:
    pack(package())
    vendor.fetch(folder, update=False)
    before = {path: path.read_bytes() for path in folder.parent.rglob("*") if path.is_file()}
    for changed in (package(mail=ICON.replace(b"M1", b"M9")), {**package(), "LICENSE": b"other terms"}):
        pack(changed)
        with pytest.raises(vendor.VendorInvalid, match=r"drawings@1\.0\.0"):
            vendor.fetch(folder, update=False)
        assert {path: path.read_bytes() for path in before} == before


def test_an_update_locks_the_newest_version_anew(folder: Path, pack: Pack) -> None:
    pack(package(version="2.0.0", mail=ICON.replace(b"M1", b"M9")))
    vendor.fetch(folder, update=True)
    assert vendor.read_lock(folder)["icons"]["version"] == "2.0.0"
    assert vendor.problems(folder) == []


def test_a_changed_sprite_a_missing_icon_and_one_that_nobody_shows_are_found(
    folder: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(package())
    vendor.fetch(folder, update=False)
    (folder.parent / vendor.SPRITE).write_text("<svg/>")
    monkeypatch.setattr(vendor, "icons_shown", lambda: {"mail", "store"})
    assert vendor.problems(folder) == [
        "icons.svg is not the file that was locked",
        "the icon store is not in the sprite",
        "the icon phone is shown nowhere",
    ]
