"""Fetches the files of other projects that the server carries along, and checks them.

    python tools/vendor.py            checks that the vendored files are those of the lock files
    python tools/vendor.py --fetch    packs the locked versions with npm, checks every file's SHA-256, and lays them
    python tools/vendor.py --fetch --update    takes the newest versions instead, and writes the lock files anew

What is vendored stands in a `vendor.lock.json` for each folder: package, version, licence, the SHA-256 of each file. Of
a package of icons those are laid that a page of the desk shows: they become one sprite, and each is locked too. So
after naming a new icon in a template, in code or in a display block: `--fetch`.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "api" / "static" / "vendor"
DESK = ROOT / "api" / "desk" / "static" / "vendor"
FOLDERS = (DOCS, DESK)
LOCK = "vendor.lock.json"
SPRITE = "icons.svg"
"""Lies beside the folder of what is vendored: pages name it."""

SHAPES = {
    "bad": '<path d="M1 2.5h10L6 11z"/>',
    "warn": '<path d="M6 .8 11.2 6 6 11.2.8 6z"/>',
    "mid": '<circle cx="6" cy="6" r="3.6" fill="none" stroke="currentColor" stroke-width="1.8"/>',
    "good": '<path d="M1 9.5h10L6 1z"/>',
    "none": '<path d="M2 5.2h8v1.6H2z"/>',
}
"""The shapes of tiers, which are our own, in a box of 12."""

_SHOWN = re.compile(r"\bicon\(([^()]*)\)")
_NAME = re.compile(r"""(?<!= )["']([a-z0-9-]+)["']""")
"""Not what something is compared with."""
_SVG = "{http://www.w3.org/2000/svg}"


class VendorInvalid(Exception):
    """A vendored file is not the one the lock file names."""


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def problems(folder: Path) -> list[str]:
    """What differs between a lock file and the disk: missing, changed and unlisted files. Empty when all is well."""
    found: list[str] = []
    listed = {folder / LOCK}
    for name, package in read_lock(folder).items():
        for file, digest in package["files"].items():
            path = laid(folder, name, file)
            listed.add(path)
            found += _differs(path, digest, f"{name}/{path.name}")
        if "icons" in package:
            found += _differs(folder.parent / SPRITE, package["sprite"], SPRITE)
            found += [
                f"the icon {icon} is not in the sprite" for icon in icons_shown() - set(package["icons"])
            ]
            found += [f"the icon {icon} is shown nowhere" for icon in set(package["icons"]) - icons_shown()]
    unlisted = {path for path in folder.rglob("*") if path.is_file()} - listed
    return found + [f"{path.relative_to(folder)} is not in the lock file" for path in sorted(unlisted)]


def _differs(path: Path, digest: str, name: str) -> list[str]:
    if not path.is_file():
        return [f"{name} is missing"]
    return [] if sha256_of(path.read_bytes()) == digest else [f"{name} is not the file that was locked"]


def laid(folder: Path, name: str, file: str) -> Path:
    """Where a file of a package lies."""
    return folder / name / Path(file).name


def read_lock(folder: Path) -> dict[str, Any]:
    lock: dict[str, Any] = json.loads((folder / LOCK).read_text())
    return lock


def fetch(folder: Path, update: bool) -> None:
    """Lays the files of every locked package. Raises `VendorInvalid` before writing anything that was not locked."""
    lock = read_lock(folder)
    for name, package in lock.items():
        spec = f"{package['package']}@{'latest' if update else package['version']}"
        files = list(package["files"])
        icons = sorted(icons_shown()) if "icons" in package else []
        contents = packed(spec, ["package.json", *files, *(f"icons/{icon}.svg" for icon in icons)])
        about = json.loads(contents["package.json"])
        digests = {file: sha256_of(contents[file]) for file in files}
        drawings = {icon: contents[f"icons/{icon}.svg"] for icon in icons}
        drawn = {icon: sha256_of(content) for icon, content in drawings.items()}
        if update:
            package |= {"version": about["version"], "licence": about["license"], "files": digests}
        elif digests != package["files"] or _changed(package.get("icons", {}), drawn):
            raise VendorInvalid(f"{spec}: the files fetched are not the files that were locked")
        for file in files:
            path = laid(folder, name, file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents[file])
        if icons:
            whole = sprite(drawings).encode()
            (folder.parent / SPRITE).write_bytes(whole)
            package |= {"icons": drawn, "sprite": sha256_of(whole)}
    (folder / LOCK).write_text(json.dumps(lock, indent=2) + "\n")


def _changed(locked: Mapping[str, str], drawn: Mapping[str, str]) -> bool:
    """Icons that were not locked yet are new, and taken from the version that is."""
    return any(locked.get(icon, digest) != digest for icon, digest in drawn.items())


def packed(spec: str, files: Sequence[str]) -> dict[str, bytes]:
    """The named files of an npm package."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", spec], cwd=folder, check=True, capture_output=True)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as package:
            return {name: _member(package, f"package/{name}") for name in files}


def _member(package: tarfile.TarFile, name: str) -> bytes:
    try:
        member = package.extractfile(name)
    except KeyError:
        member = None
    if member is None:
        raise VendorInvalid(f"{name} is not a file of the package")
    return member.read()


def sprite(drawings: Mapping[str, bytes]) -> str:
    """All drawings as symbols of one file: `i-` icons, `s-` the shapes of tiers."""
    symbols = [
        f'<symbol id="s-{name}" viewBox="0 0 12 12">{drawn}</symbol>' for name, drawn in SHAPES.items()
    ]
    for name, drawing in sorted(drawings.items()):
        lines = "".join(_plain(line) for line in ElementTree.fromstring(drawing))
        symbols.append(f'<symbol id="i-{name}" viewBox="0 0 24 24">{lines}</symbol>')
    about = "<!-- Icons: Lucide, ISC licence. Shapes: our own. Made by tools/vendor.py -->"
    return "\n".join(['<svg xmlns="http://www.w3.org/2000/svg">', about, *symbols, "</svg>", ""])


def _plain(line: ElementTree.Element) -> str:
    """A line of a drawing without what a sprite does not need."""
    attributes = "".join(f' {name}="{value}"' for name, value in line.attrib.items())
    return f"<{line.tag.removeprefix(_SVG)}{attributes}/>"


def icons_shown() -> set[str]:
    """Every icon that a display block, a template or the code of the desk names."""
    from touchbook.schemas.catalogue import CATALOGUE, Plain

    shown = {Plain.display.icon, *(details.display.icon for details in CATALOGUE.values())}
    for template in (DESK.parents[1] / "templates").rglob("*.html"):
        shown |= {name for call in _SHOWN.findall(template.read_text()) for name in _NAME.findall(call)}
    for module in DESK.parents[1].rglob("*.py"):
        shown |= set(_named_in(ast.parse(module.read_text())))
    return shown


def _named_in(tree: ast.AST) -> Iterator[str]:
    """Names of icons in code: in tables whose name ends in ICONS, and as arguments called `icon`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id.endswith("ICONS") for target in targets):
                table = node.value.values if isinstance(node.value, ast.Dict) else [node.value]
                yield from (text for part in table for text in _texts(part))
        elif isinstance(node, ast.keyword) and node.arg == "icon":
            yield from _texts(node.value)


def _texts(node: ast.AST) -> Iterator[str]:
    """The texts that a value can be: of a choice, both."""
    if isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield node.value
    elif isinstance(node, ast.Tuple | ast.List | ast.Set):
        for one in node.elts:
            yield from _texts(one)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fetch", action="store_true", help="fetch the locked versions with npm")
    parser.add_argument("--update", action="store_true", help="with --fetch: take the newest versions")
    asked = parser.parse_args()
    wrong: list[str] = []
    for folder in FOLDERS:
        if asked.fetch:
            fetch(folder, asked.update)
        wrong += problems(folder)
    sys.stderr.writelines(f"{problem}\n" for problem in wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
