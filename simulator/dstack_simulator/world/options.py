"""What the process of a world is started with."""

from __future__ import annotations

from dataclasses import dataclass

from dstack_simulator.folder import Folder
from dstack_simulator.scenarios import scenario as scenarios


@dataclass(frozen=True)
class Options:
    """What a world is started with.

    Attributes:
        folder: Where everything is kept.
        kept: Whether the folder outlives the simulator.
        scenario: What exists and what is applied.
        mark: Carried by every process, so that it can be found.
        control_token: What authorises calls of the control API.
        server_token: The token of the servers' administrator.
        port: Where the first server shall be found; any free port if None.
        before: Modules that a server's process imports before anything of dstack.
        start_limit: Seconds within which a server must answer.
        database: The URL of the servers' database; SQLite in the server's folder if None.
        servers: How many servers share the database.
        pace: How often the servers look at what they work on.
        preloaded: Whether servers are forked from processes that have dstack loaded.
    """

    folder: Folder
    kept: bool
    scenario: scenarios.Scenario
    mark: str
    control_token: str
    server_token: str
    port: int | None
    before: tuple[str, ...]
    start_limit: float
    database: str | None
    servers: int
    pace: scenarios.Pace
    preloaded: bool
