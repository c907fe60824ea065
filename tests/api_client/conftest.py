"""The older servers, started early to be ready for their tests, and dstack's own code."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType

import pytest

from dstack_api_client import fault_log
from tests.servers.old_servers import VERSIONS, OldServer

_servers = pytest.StashKey[dict[str, OldServer]]()
_wanted = pytest.StashKey[set[object]]()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """With the first test of this folder, in the process that runs them."""
    session = item.session
    if _wanted not in session.stash:
        session.stash[_wanted] = {
            _group(each) for each in session.items if each.get_closest_marker("versions")
        }
    if _group(item) in session.stash[_wanted] and _servers not in item.config.stash:
        item.config.stash[_servers] = {version: OldServer(version) for version in VERSIONS}


def _group(item: pytest.Item) -> object:
    """The part of the tests that one process runs."""
    marker = item.get_closest_marker("xdist_group")
    return marker.args if marker is not None else None


def pytest_unconfigure(config: pytest.Config) -> None:
    for server in config.stash.get(_servers, {}).values():
        server.stop()


@pytest.fixture
def no_fault_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where reading would make a state of a fault, the fault itself is brought up."""

    def bring_up(error: BaseException) -> None:
        raise error

    monkeypatch.setattr(fault_log, "write", bring_up)


@pytest.fixture(scope="session", params=VERSIONS)
def versioned_server(request: pytest.FixtureRequest) -> Iterator[OldServer]:
    """A server of each version."""
    server = request.config.stash[_servers][request.param]
    yield server
    server.stop()


@pytest.fixture(scope="session")
def dstack() -> ModuleType:
    """What dstack itself makes of files and specs, loaded where a test asks for it."""
    return importlib.import_module("tests.builders.dstack_specs")
