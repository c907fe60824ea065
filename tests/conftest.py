"""The order of tests, and the servers that tests of several folders use."""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import settings
from syrupy.assertion import SnapshotAssertion

from dstack_simulator.handle.handle import Handle
from dstack_simulator.scenarios import scenario as scenarios
from tests import LEFT_OUT
from tests.builders.generation import GENERATED_LIMIT, MANY, REPEATED, cases
from tests.builders.stylesheets import share_parsed
from tests.pictures import Pictures
from tests.servers.postgres import Postgres, running
from tests.servers.reached import reached
from tests.servers.sharing import SharedServers, emptied, shared

# How long a case takes is no property: the machine may be busy with other things.
settings.register_profile(
    "here", deadline=None, print_blob=True, max_examples=cases(100), derandomize=REPEATED
)
settings.register_profile("many", settings.get_profile("here"), max_examples=cases(100))
settings.load_profile("many" if MANY else "here")


#: Seconds that long tests with servers took when they were last measured.
_DURATIONS = Path(__file__).parent / "durations.json"
#: Fixtures of whole projects that several modules use, one after the other.
_TOGETHER = ("demo_sim", "life_stories")
_SERVERS = pytest.StashKey[SharedServers]()


#: What a signal does in a shell. A script has what it starts beside itself ignore SIGINT, `nohup`
#: SIGHUP, and each process that a test starts would inherit it.
_AS_IN_A_SHELL = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}


_left_out = {Path(path) for path in os.environ.get(LEFT_OUT, "").split(os.pathsep) if path}


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    return True if collection_path in _left_out else None


def pytest_configure(config: pytest.Config) -> None:
    gc.disable()  # while everything is loaded
    share_parsed()
    for number, effect in _AS_IN_A_SHELL.items():
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, effect)
    if not hasattr(config, "workerinput"):
        config.stash[_SERVERS] = SharedServers()


def pytest_unconfigure(config: pytest.Config) -> None:
    if _SERVERS in config.stash:
        config.stash[_SERVERS].close()


def pytest_collection_finish() -> None:
    """Spares the collector of garbage all that was loaded: it would go through that each time.

    It comes as seldom as in the dashboard, which leaves many small objects too. An app of a test
    doesn't do the same once more: what earlier tests left would stay in memory for good, and one
    that reads another project would walk through all of it (10 s of CPU at the end of a phase).
    """
    gc.enable()
    gc.freeze()
    gc.set_threshold(10_000, 20, 5)
    if app := sys.modules.get("dstack_fleets_tui.app.reading"):
        app._spare_the_collector = lambda *, again: None  # type: ignore[attr-defined]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Keeps the tests of a module that need servers in one process, the longest modules first."""
    for item in items:
        if needs_server(item):
            item.add_marker(pytest.mark.xdist_group(_group(item)))
        if item.get_closest_marker("generated") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(GENERATED_LIMIT))
    yield  # and leaves out what was not asked for
    durations: dict[str, float] = json.loads(_DURATIONS.read_text(encoding="utf-8"))
    longest: Counter[str] = Counter()
    for item in items:
        if needs_server(item):
            longest[_group(item)] += durations.get(_name(item), 1.0)
    items.sort(key=lambda item: -longest[_group(item)] if needs_server(item) else 0.0)


def _name(item: pytest.Item) -> str:
    return f"{item.path.stem}::{item.name.partition('@')[0]}"


def needs_server(item: pytest.Item) -> bool:
    """Whether a test runs against a real server."""
    return any(item.get_closest_marker(name) for name in ("e2e", "versions"))


def _group(item: pytest.Item) -> str:
    """Modules that share what is on a server are one group, and so in one process."""
    return next((name for name in _TOGETHER if name in _fixtures(item)), item.path.stem)


def _fixtures(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Ends what modules share once the last of them is over: it costs its server until then."""
    yield
    over = {*_TOGETHER} & {*_fixtures(item)}
    if nextitem is not None:
        over -= {*_fixtures(nextitem)}
    for name in over:
        for fixture in item._fixtureinfo.name2fixturedefs[name]:  # type: ignore[attr-defined]
            fixture.finish(item._request)  # type: ignore[attr-defined]


@pytest.fixture
def pictures(snapshot: SnapshotAssertion) -> Iterator[Pictures]:
    """Pictures of the app that a test runs; all that differ are told at its end."""
    taken = Pictures(snapshot)
    yield taken
    assert taken.different == []


@pytest.fixture(scope="session")
def addon_server() -> Handle:
    """The server with the placement add-on, at a quick pace; modules have projects of their own."""
    return shared("addon")


@pytest.fixture(scope="session")
def router_server() -> Handle:
    """Another server with the add-on, for services whose routers are looked at all the time."""
    return shared("routers")


@pytest.fixture(scope="session")
def story_server() -> Handle:
    """Another server with the add-on, for what goes on beside the tests of several modules."""
    return shared("stories")


@pytest.fixture(scope="session")
def stock_server() -> Handle:
    """The stock server, at a quick pace; modules have projects of their own."""
    return shared("stock")


@pytest_asyncio.fixture(scope="session")
async def demo_sim(stock_server: Handle) -> AsyncIterator[Handle]:
    """The scenario `demo`, fully running. Tests that change it put it back."""
    demo = await stock_server.add_project("demo", scenarios.load("demo"))
    await demo.settled()
    await reached(demo)
    yield demo
    await emptied(demo)


@pytest.fixture(scope="session")
def large_sim() -> Handle:
    """The scenario `large`: many fleets and services on a frozen server."""
    return shared("large")


@pytest_asyncio.fixture(scope="module")
async def empty_sim(stock_server: Handle, request: pytest.FixtureRequest) -> Handle:
    """A project with nothing in it."""
    nothing = scenarios.load("empty")
    project = await stock_server.add_project(project_name(request, "empty"), nothing)
    await project.settled()
    return project


def project_name(request: pytest.FixtureRequest, kind: str) -> str:
    """A name for a project of a test module."""
    module = re.sub(r"[^a-z]+", "-", request.node.path.stem.removeprefix("test_"))
    return f"{module}-{kind}"


@pytest_asyncio.fixture(scope="session")
async def postgres() -> AsyncIterator[Postgres]:
    """A PostgreSQL, on which each simulator gets a database of its own."""
    async with running() as server:
        yield server
