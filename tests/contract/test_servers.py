"""Contracts are tested on containers wherever there are any, and CI takes nothing less."""

import pytest

from tests.contract import servers


def test_without_docker_contracts_are_tested_without_containers_but_not_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.delenv("FORBID_SKIPS", raising=False)
    assert servers.images() is None
    monkeypatch.setenv("FORBID_SKIPS", "1")
    with pytest.raises(RuntimeError, match="contracts are tested on containers, and Docker does not answer"):
        servers.images()
