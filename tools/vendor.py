"""Fetches the files of other projects that the server carries along, and checks them.

    python tools/vendor.py            checks that the vendored files are those of the lock file
    python tools/vendor.py --fetch    packs the locked versions with npm, checks every file's SHA-256, and lays them
    python tools/vendor.py --fetch --update    takes the newest version instead, and writes the lock file anew

What is vendored stands in `vendor.lock.json`: package, version, licence, and the SHA-256 of each file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

VENDOR = Path(__file__).resolve().parents[1] / "api" / "static" / "vendor"
LOCK = VENDOR / "vendor.lock.json"


class VendorInvalid(Exception):
    """A vendored file is not the one the lock file names."""


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def problems() -> list[str]:
    """What differs between the lock file and the disk: missing, changed and unlisted files. Empty when all is well."""
    found: list[str] = []
    listed = {LOCK}
    for folder, package in read_lock().items():
        for name, digest in package["files"].items():
            path = VENDOR / folder / name
            listed.add(path)
            if not path.is_file():
                found.append(f"{folder}/{name} is missing")
            elif sha256_of(path.read_bytes()) != digest:
                found.append(f"{folder}/{name} is not the file that was locked")
    unlisted = {path for path in VENDOR.rglob("*") if path.is_file()} - listed
    return found + [f"{path.relative_to(VENDOR)} is not in the lock file" for path in sorted(unlisted)]


def read_lock() -> dict[str, Any]:
    lock: dict[str, Any] = json.loads(LOCK.read_text())
    return lock


def fetch(update: bool) -> None:
    """Lays the files of every locked package. Raises `VendorInvalid` before writing anything that was not locked."""
    lock = read_lock()
    for folder, package in lock.items():
        name = package["package"]
        version = "latest" if update else package["version"]
        contents = packed(f"{name}@{version}", list(package["files"]))
        about = json.loads(contents.pop("package.json"))
        digests = {file: sha256_of(content) for file, content in contents.items()}
        if update:
            package |= {"version": about["version"], "licence": about["license"], "files": digests}
        elif digests != package["files"]:
            raise VendorInvalid(f"{name} {version}: the files fetched are not the files that were locked")
        for file, content in contents.items():
            path = VENDOR / folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    LOCK.write_text(json.dumps(lock, indent=2) + "\n")


def packed(spec: str, files: list[str]) -> dict[str, bytes]:
    """The named files of an npm package, and its package.json."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", spec], cwd=folder, check=True, capture_output=True)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as package:
            return {name: _member(package, f"package/{name}") for name in ["package.json", *files]}


def _member(package: tarfile.TarFile, name: str) -> bytes:
    member = package.extractfile(name)
    if member is None:
        raise VendorInvalid(f"{name} is not a file of the package")
    return member.read()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fetch", action="store_true", help="fetch the locked versions with npm")
    parser.add_argument("--update", action="store_true", help="with --fetch: take the newest versions")
    asked = parser.parse_args()
    if asked.fetch:
        fetch(asked.update)
    wrong = problems()
    sys.stderr.writelines(f"{problem}\n" for problem in wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
