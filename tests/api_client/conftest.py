"""Starts the older servers early, so that they are ready when their tests are run, at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api_client.old_servers import VERSIONS, OldServer

_servers = pytest.StashKey[dict[str, OldServer]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("versions") is not None)


def pytest_collection_finish(session: pytest.Session) -> None:
    wanted = any(item.get_closest_marker("versions") for item in session.items)
    if wanted and not session.config.option.collectonly:
        session.config.stash[_servers] = {version: OldServer(version) for version in VERSIONS}


def pytest_unconfigure(config: pytest.Config) -> None:
    for server in config.stash.get(_servers, {}).values():
        server.stop()


@pytest.fixture(scope="session", params=VERSIONS)
def versioned_server(request: pytest.FixtureRequest) -> Iterator[OldServer]:
    """A server of each version."""
    server = request.config.stash[_servers][request.param]
    yield server
    server.stop()
