"""Documents are run: every example works as it stands, every link leads on.

In README.md, docs/tutorial.md and the guides the examples of a page share one shell, from an empty folder. `sh` and
`python` blocks must succeed; a `console` block shows commands after `$ ` and what they answer, where `...` stands for
anything. Nothing is changed but the port.
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
RUN = (
    "README.md",
    "docs/tutorial.md",
    *sorted(f"docs/guides/{path.name}" for path in ROOT.glob("docs/guides/*.md")),
)
PORT = "8750"
DEPENDENCIES = ("0002-dependencies.md", "0016-clients-of-kafka.md")
MANY = "docs/guides/many-machines.md"
"""The page whose examples stand on Kafka and ClickHouse."""
PATIENCE_SECONDS = 150
WRITTEN = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md")
    for path in ROOT.glob(pattern)
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)

FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]+\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
MACHINE_PATHS = re.compile(r"(?<![\w.$/])/(?:home|root|tmp|work|Users|mnt|srv)/\w")
PLAIN_LANGUAGES = frozenset({"text", "json", "yaml", "toml", "javascript", "dockerfile"})
"""What is shown and not run."""
REGISTRIES = re.compile(r"\b(?:pypi|npmjs|pythonhosted|ghcr|quay|docker)\.(?:org|com|io)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Step:
    """One thing a reader does: a script for the shell, and what he is told to see (None: anything)."""

    script: str
    expected: str | None = None


def steps_in(text: str) -> Iterator[Step]:
    for fence in FENCE.finditer(text):
        language, body = fence["language"], fence["text"]
        if language == "sh":
            yield Step(body)
        elif language == "python":
            yield Step(f"python - <<'END_OF_PYTHON'\n{body}END_OF_PYTHON\n")
        elif language == "console":
            yield from console_steps(body)


def console_steps(text: str) -> Iterator[Step]:
    """Commands begin with `$ ` and go on with `> `; what follows is their answer."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        first, *rest = part.splitlines(keepends=True)
        more = next((place for place, line in enumerate(rest) if not line.startswith("> ")), len(rest))
        yield Step(first + "".join(line[2:] for line in rest[:more]), "".join(rest[more:]))


def script_of(steps: list[Step], answers: Path) -> str:
    """All steps in one shell, so that variables and servers live on; each one's answer in a file."""
    lines = ["set -euo pipefail", "trap 'kill $(jobs -p) 2>&- || true; wait' EXIT"]
    for number, step in enumerate(steps):
        lines += ["{", step.script.rstrip(), f"}} > {shlex.quote(str(answers / str(number)))}"]
    return "\n".join(lines) + "\n"


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return str(held.getsockname()[1])


def environment(port: str) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("TOUCHBOOK_", "PYTHON"))
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "PATH": path, "TOUCHBOOK_PORT": port, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


@pytest.mark.timeout(PATIENCE_SECONDS + 20)
@pytest.mark.parametrize("page", [page for page in RUN if page != MANY])
def test_every_example_of_a_page_runs_and_answers_as_it_says(page: str, tmp_path: Path) -> None:
    runs((ROOT / page).read_text("utf-8"), tmp_path)


@pytest.mark.server
@pytest.mark.thorough
@pytest.mark.timeout(PATIENCE_SECONDS + 60)
def test_the_examples_on_many_machines_run_on_a_real_kafka_and_clickhouse(
    kafka: Any, clickhouse: str, tmp_path: Path
) -> None:
    text = (ROOT / MANY).read_text("utf-8")
    for shown, real in (
        ("kafka://127.0.0.1:9092", f"kafka://{kafka.bootstrap[0]}"),
        ("clickhouse://default@127.0.0.1:9000/touchbook", clickhouse),
    ):
        assert shown in text
        text = text.replace(shown, real)
    runs(
        f"```sh\nexport TOUCHBOOK_TOPIC_PREFIX={kafka.prefix} TOUCHBOOK_WORKER_PORT=0\n```\n{text}", tmp_path
    )


def runs(text: str, tmp_path: Path) -> None:
    """Everything on the page, in one shell."""
    port = free_port()
    steps = list(steps_in(text.replace(PORT, port)))
    folder, answers = tmp_path / "folder", tmp_path / "answers"
    folder.mkdir()
    answers.mkdir()

    done = subprocess.run(
        ["bash", "-c", script_of(steps, answers)],
        cwd=folder,
        env=environment(port),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_SECONDS,
    )

    begun = len(list(answers.iterdir()))
    last = steps[begun - 1]
    assert done.returncode == 0, f"{last.script}{(answers / str(begun - 1)).read_text()}{done.stderr}"
    assert begun == len(steps)
    for number, step in enumerate(steps):
        agrees(step, (answers / str(number)).read_text("utf-8"))


def agrees(step: Step, answer: str) -> None:
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    if step.expected is not None and not doctest.OutputChecker().check_output(step.expected, answer, options):
        pytest.fail(f"$ {step.script}expected:\n{step.expected}got:\n{answer}")


@pytest.mark.parametrize("page", RUN)
def test_no_example_escapes_the_run(page: str) -> None:
    languages = {fence["language"] for fence in FENCE.finditer((ROOT / page).read_text("utf-8"))}

    assert languages <= {"sh", "python", "console"} | PLAIN_LANGUAGES


def test_a_wrong_answer_on_a_page_would_be_noticed() -> None:
    (step,) = console_steps("$ echo one \\\n>   two\none three\n")

    assert step.script == "echo one \\\n  two\n"
    with pytest.raises(pytest.fail.Exception):
        agrees(step, "one two\n")


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_between_documents_leads_somewhere(path: Path) -> None:
    text = FENCE.sub("", path.read_text("utf-8"))
    for link in LINK.finditer(text):
        target, _, anchor = link["target"].partition("#")
        if re.match(r"\w+:", target):
            continue
        page = (path.parent / target).resolve() if target else path
        assert page.exists(), f"{path.name}: {link[0]}"
        if anchor:
            assert anchor in anchors(page), f"{path.name}: {link[0]}"


def anchors(page: Path) -> set[str]:
    headings = HEADING.findall(FENCE.sub("", page.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_name_no_machine_and_no_registry(path: Path) -> None:
    text = path.read_text("utf-8")

    assert not MACHINE_PATHS.search(text)
    assert not REGISTRIES.search(text)


def test_every_decision_says_what_was_decided_and_what_was_rejected() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("*.md"))

    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    for record in records:
        text = record.read_text("utf-8")
        assert all(f"\n## {part}\n" in text for part in ("Decided", "Why", "Rejected")), record.name
        assert len(text.split()) < 600, f"{record.name} is more than a page"


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node to read JavaScript")
@pytest.mark.parametrize("page", RUN)
def test_javascript_on_a_page_can_be_parsed(page: str, tmp_path: Path) -> None:
    for fence in FENCE.finditer((ROOT / page).read_text("utf-8")):
        if fence["language"] == "javascript":
            script = tmp_path / "example.mjs"
            script.write_text(fence["text"])
            done = subprocess.run(["node", "--check", script], capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr


def test_every_dependency_has_its_reasons_written_down() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    dependencies = [*project["dependencies"], *project["optional-dependencies"]["cluster"]]
    wanted = {re.split(r"[<>=;\[ ]", line)[0] for line in dependencies}
    records = [(ROOT / "docs" / "decisions" / name).read_text("utf-8") for name in DEPENDENCIES]
    said = {
        name
        for record in records
        for name in re.findall(r"^\| ([\w-]+) \| .* \| .* \|$", record, re.MULTILINE)
    }

    assert said >= wanted
    assert said - wanted <= {"dependency", "client", "kafka-python", "librdkafka"}
