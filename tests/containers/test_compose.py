"""What `make up`, `make up-data` and `make up-reset` say of a machine where something is in the way; and the compose file by itself."""

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import compose
from deploy.local import demo
from deploy.local.places import ROOT, free_port
from tests.containers.conftest import docker


@pytest.fixture
def clone(base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The state of a checkout that was never started, known to Docker by a name of its own."""
    monkeypatch.setattr(compose, "HOME", Path(f"billfold-clone-{os.getpid()}"))
    monkeypatch.setattr(compose, "STATE", tmp_path / "docker")
    monkeypatch.setattr(demo, "FILE", tmp_path / "demo.json")
    monkeypatch.setattr(demo, "runs", lambda: False)
    monkeypatch.setattr(compose, "build", lambda plan: pytest.fail("nothing was in the way"))
    yield tmp_path / "docker"
    compose.reset()


def volumes() -> list[str]:
    return docker("volume", "ls", "--quiet", "--filter", compose.LABEL + compose.HOME.name).split()


@pytest.mark.req("PF-06", part="in Docker")
def test_data_of_containers_whose_passwords_are_gone_is_named_and_removed_without_any_state(clone: Path) -> None:
    labels = {"com.docker.compose.project": compose.HOME.name, "com.docker.compose.volume": "postgres"}
    docker("volume", "create", *(f"--label={name}={value}" for name, value in labels.items()), f"{compose.HOME.name}_postgres")
    with pytest.raises(SystemExit, match=r"not its passwords, which were in \.local/docker: `make up-reset` removes it"):
        compose.up()
    assert not clone.exists() and len(volumes()) == 1
    compose.reset()
    assert volumes() == []


@pytest.mark.req("PF-06", part="in Docker")
def test_a_port_in_use_is_named_with_who_has_it_and_how_to_take_another(base: str, clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in compose.PORTS:
        monkeypatch.setenv(f"{name.upper()}_PORT", str(free_port()))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv("PORTAL_PORT", str(port))
        with pytest.raises(SystemExit) as said:
            compose.up()
    assert str(said.value) == f"Port {port} (portal) is in use by another program: `PORTAL_PORT=… make up` takes another."
    published = ["--publish", f"127.0.0.1:{port}:80", "--label=com.docker.compose.project.working_dir=/another/clone"]
    container = docker("run", "--detach", "--rm", *published, "--entrypoint=sleep", base, "600").strip()
    try:
        with pytest.raises(SystemExit, match=f"Port {port} .portal. is in use by the containers of /another/clone: "):
            compose.up()
    finally:
        docker("rm", "--force", container)


def test_a_port_that_is_none_is_named() -> None:
    with pytest.raises(SystemExit, match="PORTAL_PORT=web, MAIL_PORT=0: give a port from 1 to 65535"):
        compose.chosen_ports({"PORTAL_PORT": "web", "MAIL_PORT": "0"})


def test_a_seeding_that_was_interrupted_is_named(clone: Path) -> None:
    plan = compose.make_plan(compose.STATE, compose.PORTS)
    plan.data.mkdir()
    (plan.data / "seeding").touch()
    with pytest.raises(SystemExit, match="not finished: `make up-reset`, `make up`, `make up-data` do it anew"):
        compose.data()


def config(*words: str, **given: str) -> subprocess.CompletedProcess[str]:
    """What compose makes of the file, with nothing of the environment but where programs are, and what is given."""
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | given
    return subprocess.run([*compose._program(), *words, "config"], cwd=ROOT, env=env, capture_output=True, text=True)


@pytest.mark.req("PF-06", part="in Docker")
def test_the_compose_file_has_the_ports_of_make_up_and_asks_for_secrets_alone(clone: Path, tmp_path: Path) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    given = {(name.lower(), int(port)) for name, port in re.findall(r"\$\{(\w+)_PORT:-(\d+)\}", text)}
    assert given == set(compose.PORTS.items())
    without = config()
    assert without.returncode and "`make up` writes it" in without.stderr, without
    secrets = tmp_path / "secrets"
    secrets.write_text("".join(f"{name}=secret\n" for name in set(re.findall(r"SECRET_\w+", text))))
    alone, full = config("--env-file", str(secrets)), config("--env-file", str(compose._env(compose.make_plan(clone, compose.PORTS))))
    assert alone.returncode == 0 and "variable is not set" not in alone.stderr, alone
    assert full.returncode == 0 and "variable is not set" not in full.stderr, full
    assert str(ROOT / ".local/docker/clock") in alone.stdout and str(clone / "clock") in full.stdout


@pytest.mark.req("PF-06", part="in Docker")
def test_no_image_that_is_settable_is_built_under_the_name_it_is_set_to(clone: Path) -> None:
    settable = re.findall(r"image: \$\{(\w+)", (ROOT / "docker-compose.yml").read_text())
    names = {name: f"registry.example/{name.lower()}" for name in settable}
    done = config("--env-file", str(compose._env(compose.make_plan(clone, compose.PORTS))), **names)
    services = re.split(r"^  (?=\S)", done.stdout, flags=re.MULTILINE)
    for name in names.values():
        (service,) = [each for each in services if f"image: {name}\n" in each]
        assert "build:" not in service
    assert {"KAFKA_IMAGE", "POSTGRES_IMAGE", "MAIL_IMAGE", "TELEMETRY_IMAGE", "OIDC_IMAGE"} == set(settable)
