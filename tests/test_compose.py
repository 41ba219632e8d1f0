"""The image and the compose file, as far as they can be read without an engine."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from typer import BadParameter
from typer.main import get_command

from touchbook.cli.app import app
from touchbook.settings import Settings, settings_from

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
PORT = str(Settings.model_fields["port"].default)


def instructions() -> list[tuple[str, str]]:
    """Every instruction of the Dockerfile with its arguments, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [(name, arguments.strip()) for name, _, arguments in (line.partition(" ") for line in lines)]


def given(name: str) -> list[str]:
    return [arguments for one, arguments in instructions() if one == name]


def final(name: str) -> str:
    """The last one of its kind, which is the image's own."""
    return given(name)[-1]


def environment() -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(final("ENV")))


def service(name: str = "touchbook") -> dict[str, Any]:
    return dict(COMPOSE["services"][name])


USAGE_ERROR = BadParameter.__mro__[1]
"""Any wrong use, of which typer names this kind alone."""
OURS = [name for name, one in COMPOSE["services"].items() if one["image"] == "touchbook"]
ENVIRONMENTS = {name: environment() | service(name).get("environment", {}) for name in OURS}
BESIDE = ["kafka", "clickhouse"]


def test_the_image_is_made_of_all_the_code_and_of_files_that_exist() -> None:
    copied = {
        source for line in given("COPY") if not line.startswith("--from") for source in line.split()[:-1]
    }
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    assert copied == let_in
    assert all((ROOT / source).exists() for source in copied)
    assert copied >= set(PROJECT["tool"]["setuptools"]["package-dir"].values())


def test_the_image_has_a_python_that_the_package_takes() -> None:
    bases = {line.split()[0] for line in given("FROM")}

    (version,) = {match[1] for base in bases if (match := re.fullmatch(r"python:([\d.]+)-slim", base))}
    assert PROJECT["project"]["requires-python"] == f">={version}"


def test_everything_in_the_image_is_locked_with_hashes() -> None:
    installs = re.findall(r"pip install [^&]*", " ".join(given("RUN")))
    lock = (ROOT / "requirements" / "cluster.txt").read_text()
    pinned = re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)

    assert all("--require-hashes" in install or "--no-deps" in install for install in installs)
    assert len(re.findall(r"--hash=sha256:", lock)) >= len(pinned)
    dependencies = [
        *PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"]["cluster"],
    ]
    wanted = {re.split(r"[<>=;\[ ]", line)[0].lower() for line in dependencies}
    assert wanted <= {name.lower() for name in pinned}


def test_nobody_is_root_and_the_data_is_his_own() -> None:
    user = final("USER")

    assert user not in ("root", "0")
    assert f"-o {user}" in final("RUN")
    assert environment()["TOUCHBOOK_DATA"] == final("VOLUME")


def test_the_image_and_the_service_use_settings_that_exist() -> None:
    named = {*environment(), *(one for name in OURS for one in service(name).get("environment", {}))}
    settings = {f"TOUCHBOOK_{name.upper()}" for name in Settings.model_fields}

    assert {name for name in named if name.startswith("TOUCHBOOK_")} <= settings


def test_the_image_starts_the_installed_command() -> None:
    (program,) = json.loads(final("ENTRYPOINT"))

    assert program in PROJECT["project"]["scripts"]
    assert json.loads(final("CMD")) == ["serve"]


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_health_check_tells_a_server_that_is_up_from_one_that_is_not(status: int, healthy: bool) -> None:
    program, option, script = json.loads(final("HEALTHCHECK").partition("CMD ")[2])
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing on the tests' output."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.handle_request, daemon=True).start()
        here = script.replace(f":{PORT}", f":{server.server_port}")
        done = subprocess.run([sys.executable, option, here], capture_output=True, timeout=60)

    assert (program, asked) == ("python", ["/healthz"])
    assert (done.returncode == 0) == healthy


def test_the_service_keeps_its_data_and_shows_itself_to_this_machine_alone() -> None:
    (mount,) = service()["volumes"]
    volume, _, inside = mount.partition(":")

    assert inside == final("VOLUME")
    assert volume in COMPOSE["volumes"]
    assert service()["ports"] == [f"127.0.0.1:{PORT}:{PORT}"]
    assert final("EXPOSE") == environment()["TOUCHBOOK_PORT"] == PORT


def test_containers_of_many_machines_start_only_when_asked_for_and_show_themselves_to_this_machine_alone() -> (
    None
):
    assert all(service(name)["profiles"] == ["many"] for name in COMPOSE["services"] if name != "touchbook")
    published = [one for name in COMPOSE["services"] for one in service(name).get("ports", ())]
    assert published
    assert all(one.startswith("127.0.0.1:") for one in published)


def test_named_volumes_are_declared_and_used() -> None:
    used = {one.partition(":")[0] for name in COMPOSE["services"] for one in service(name).get("volumes", ())}

    assert {one for one in used if not one.startswith("/")} == set(COMPOSE["volumes"])


def test_replica_worker_and_topics_stand_on_the_same_journal_projections_and_keys() -> None:
    api, worker, topics = (service(name)["environment"] for name in ("api", "worker", "topics"))

    assert api == worker == topics
    assert (
        api["TOUCHBOOK_JOURNAL"]
        == f"kafka://{service('kafka')['environment']['KAFKA_ADVERTISED_LISTENERS'][12:]}"
    )
    assert all("keys:/keys" in service(name)["volumes"] for name in ("api", "worker", "topics"))


def test_other_replicas_would_reach_the_api_by_the_name_it_has_among_the_containers() -> None:
    assert service("api")["hostname"] == "api"  # it advertises it, since it listens on all addresses
    assert environment()["TOUCHBOOK_HOST"] == "0.0.0.0"


@pytest.mark.parametrize("name", OURS)
def test_the_services_run_commands_that_there_are_with_options_they_take(name: str) -> None:
    understood(service(name).get("command", ["serve"]))


@pytest.mark.parametrize(
    "words",
    [
        ["works"],
        ["topics", "ensure", "--partition-count", "8"],
        ["topics", "ensure", "--partitions", "x"],
        ["work", "x"],
    ],
)
def test_a_command_that_it_would_not_understand_is_found(words: list[str]) -> None:
    with pytest.raises(USAGE_ERROR):
        understood(words)


def understood(words: list[str]) -> None:
    """Raises `USAGE_ERROR` where the command line would; nothing is done."""
    command: Any = get_command(app)
    while hasattr(command, "commands"):
        _, command, words = command.resolve_command(command.context_class(command), words)
    command.make_context(command.name, list(words))


@pytest.mark.parametrize("name", OURS)
def test_the_services_settings_are_taken_as_they_stand(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {key: value.replace("${CLICKHOUSE_PASSWORD:-}", "") for key, value in ENVIRONMENTS[name].items()}
    for key, value in told.items():
        monkeypatch.setenv(key, value)

    settings = settings_from().model_dump()
    for key in told:
        field = key.removeprefix("TOUCHBOOK_").lower()
        if key.startswith("TOUCHBOOK_"):
            assert settings[field] != Settings.model_fields[field].default or field == "port", key


@pytest.mark.parametrize("name", OURS)
def test_the_service_has_no_more_rights_than_it_needs(name: str) -> None:
    assert service(name)["cap_drop"] == ["ALL"]
    assert service(name)["security_opt"] == ["no-new-privileges:true"]
    assert service(name)["read_only"] is True
    assert not {"privileged", "cap_add", "network_mode", "pid", "user"} & service(name).keys()


@pytest.mark.parametrize("file", ["Dockerfile", "docker-compose.yml"])
def test_no_password_or_key_stands_in_the_file(file: str) -> None:
    text = re.sub(r"\$\{CLICKHOUSE_PASSWORD:-\}|CLICKHOUSE_PASSWORD=…", "", (ROOT / file).read_text())

    assert not re.search(r"(?i)(password|passwd|secret|token|_key)\w*[ ]*[:=][ ]*[^\s#/]", text)
    assert "tb_" not in text


def test_the_compose_file_holds_only_what_the_specification_knows() -> None:
    known = {
        "build", "image", "init", "restart", "stop_grace_period", "ports", "volumes", "read_only", "tmpfs", "cap_drop",
        "security_opt", "environment", "hostname", "command", "healthcheck", "profiles", "depends_on",
    }  # fmt: skip

    assert {name for name in COMPOSE if not name.startswith("x-")} <= {"name", "services", "volumes"}
    assert all(service(name).keys() <= known for name in COMPOSE["services"])
    assert all(
        one in COMPOSE["services"]
        for name in COMPOSE["services"]
        for one in service(name).get("depends_on", ())
    )
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*", COMPOSE["name"])
    assert all(options is None for options in COMPOSE["volumes"].values())
