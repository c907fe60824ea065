"""The servers of a world: one, or several on one database, each behind an address of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import yaml

from dstack_simulator.errors import SimulatorError
from dstack_simulator.folder import CONTROL_TOKEN_VARIABLE, CONTROL_URL_VARIABLE
from dstack_simulator.world.front import Front
from dstack_simulator.world.options import Options
from dstack_simulator.world.preloaded import PreloadedServer
from dstack_simulator.world.server import ServerProcess


@dataclass
class _Server:
    process: ServerProcess
    fronts: list[Front]

    def lead(self) -> None:
        """Lets clients through to the process, if it runs."""
        port = self.process.port if self.process.running else None
        for front in self.fronts:
            front.lead_to(port)


class Servers:
    """Numbered from 1. The addresses of each stay the same while its process comes and goes."""

    def __init__(self, options: Options, project: str) -> None:
        self._options = options
        self._project = project
        self._servers: list[_Server] = []
        self._control_url = ""
        self._ready: asyncio.Task[None] | None = None

    @property
    def ports(self) -> list[int]:
        """The port of each server's own, behind its addresses; it changes with every start."""
        return [server.process.port for server in self._servers]

    async def open(self, control_url: str) -> list[Front]:
        """Takes the addresses, and starts no server yet.

        Args:
            control_url: Where the emulated cloud's backend finds the control API.

        Returns:
            The address of each server that it calls its own.

        Raises:
            PortTakenError: The port that was asked for is in use.
        """
        options = self._options
        self._control_url = control_url
        own = []
        for number in range(1, options.servers + 1):
            front = Front()
            await front.open(options.port if number == 1 else None)
            own.append(front)
            self._write_config(number)
            kind = PreloadedServer if options.preloaded else ServerProcess
            process = kind(
                folder=options.folder.of_server(number),
                log=options.folder.log_of_server(number),
                environment=self._environment(number, f"http://127.0.0.1:{front.port}"),
                before=options.before,
                pace=options.pace,
                limit=options.start_limit,
                kept=options.kept,
            )
            self._servers.append(_Server(process, [front]))
        return own

    async def more_fronts(self) -> list[Front]:
        """Another address for each server, which can be cut or slowed down by itself."""
        added = []
        for server in self._servers:
            front = Front()
            await front.open(None)
            server.fronts.append(front)
            server.lead()
            added.append(front)
        return added

    def begin(self) -> None:
        """Begins to start all servers."""
        self._ready = asyncio.create_task(self._start())
        # Its error is for whoever waits for it; nobody may.
        self._ready.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def ready(self) -> None:
        """Waits until every server has answered for the first time.

        Raises:
            SimulatorError: One did not start.
        """
        assert self._ready is not None
        await asyncio.shield(self._ready)

    async def start_one(self, number: int) -> None:
        """Starts one server that does not run, and waits until it answers."""
        server = self._server(number)
        if not server.process.running:
            await server.process.start()
        server.lead()

    async def end_one(self, number: int, *, graceful: bool) -> None:
        """Ends one server, or kills it, once it has answered for the first time."""
        server = self._server(number)
        await self.ready()
        for front in server.fronts:
            front.lead_to(None)
        await server.process.end(graceful=graceful)

    async def close(self) -> None:
        """Ends all of them."""
        if self._ready is not None:
            self._ready.cancel()
            await asyncio.gather(self._ready, return_exceptions=True)
        for server in self._servers:
            for front in server.fronts:
                await front.close()
        await asyncio.gather(*(server.process.close() for server in self._servers))

    async def _start(self) -> None:
        if self._options.scenario.seed is not None:
            from dstack_simulator.world.seeding import seed

            await seed(
                self._options.scenario.seed,
                environment=self._environment(1),
                log=self._options.folder.log_of_server(1),
            )
        await asyncio.gather(*(self.start_one(number + 1) for number in range(len(self._servers))))

    def _server(self, number: int) -> _Server:
        if not 1 <= number <= len(self._servers):
            raise SimulatorError(
                f"There is no server {number}. Name one from 1 to {len(self._servers)}."
            )
        return self._servers[number - 1]

    def _environment(self, number: int, url: str = "") -> dict[str, str]:
        options = self._options
        settings = {
            "HOME": str(options.folder.home_of_server(number)),
            "DSTACK_SERVER_DIR": str(options.folder.of_server(number)),
            "DSTACK_SERVER_ADMIN_TOKEN": options.server_token,
            "DSTACK_SSH_CLIENT": str(options.folder.ssh),
            # Seen sooner than by the minute, so that an unhealthy host shows while one looks.
            "DSTACK_SERVER_INSTANCE_HEALTH_MIN_COLLECT_INTERVAL_SECONDS": "5",
            "DSTACK_SERVER_LOG_FORMAT": "standard",
            # Its workers are 150, and wait for a connection where each of several projects has them
            # at work at once.
            "DSTACK_DB_POOL_SIZE": "100",
            "DSTACK_DB_MAX_OVERFLOW": "100",
            # The server makes an HTTP client for every probe, which takes it 15 ms as long as there
            # are authorities to be read; nothing that it reaches here speaks TLS.
            "SSL_CERT_DIR": str(options.folder.authorities),
            CONTROL_URL_VARIABLE: self._control_url,
            CONTROL_TOKEN_VARIABLE: options.control_token,
        }
        if url:
            settings["DSTACK_SERVER_URL"] = url
        if options.database is not None:
            settings["DSTACK_DATABASE_URL"] = options.database
        if options.scenario.server.frozen:
            settings["DSTACK_SERVER_BACKGROUND_PROCESSING_DISABLED"] = "1"
        settings.update(options.scenario.server.environment)
        return options.folder.environment(options.mark, settings)

    def _write_config(self, number: int) -> None:
        config = {
            "projects": [
                {"name": self._project, "backends": [{"type": "aws", "creds": {"type": "default"}}]}
            ]
        }
        path = self._options.folder.of_server(number) / "config.yml"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
