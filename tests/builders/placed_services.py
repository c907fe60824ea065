"""A server with services with lanes."""

from __future__ import annotations

from tests.builders import answers
from tests.servers.addon_answers import LANES, AddonServer
from tests.servers.fake_server import FakeServer


def placed(services: int = 2) -> AddonServer:
    """A server with services with lanes, one without, and their placements."""
    server = AddonServer()
    server.fleets = [answers.fleet(1), answers.fleet(2)]
    for number in range(services):
        name = f"s-{number}"
        run = answers.run(
            number, answers.job(0, name=name), name=name, configuration={"fleets": LANES}
        )
        server.runs.append(run)
        server.place(run)
    server.runs.append(answers.run(90, answers.job(0, name="plain"), name="plain"))
    server.now = 1000.0
    return server


def run_id(server: FakeServer, name: str) -> str:
    found: str = server.run_named(name)["id"]
    return found
