"""The SSH servers of hosts, gateways and containers."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import asyncssh

from dstack_simulator.hosts.channels import ProtocolFactory, ProtocolSession, relay_to_socket
from dstack_simulator.hosts.commands import CommandResult

_logger = logging.getLogger("dstack_simulator.sshd")
_LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}


class Login(Protocol):
    """A machine that people and servers log in to."""

    def accepts(self, key: asyncssh.SSHKey) -> bool:
        """Whether a key may log in."""

    async def connect(self, port: int) -> ProtocolFactory:
        """What serves a connection to a port of this machine.

        Raises:
            OSError: Nothing listens there.
        """

    async def connect_elsewhere(self, host: str, port: int) -> ProtocolFactory:
        """What serves a connection through this machine to another one.

        Raises:
            OSError: There is no such machine.
        """

    def run(self, command: str) -> CommandResult:
        """Runs a command line."""

    @property
    def files(self) -> Path | None:
        """The folder that SFTP shows as `/`; none where there is no SFTP."""

    def connection_opened(self) -> None:
        """Someone has logged in."""

    def connection_closed(self) -> None:
        """Someone who had logged in is gone."""


class AuthorizedKeys:
    """A set of public keys; their comments do not matter."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._keys: set[bytes] = set()
        for key in keys:
            self.add(key)

    def add(self, key: str) -> None:
        """Adds a key in OpenSSH's one-line format, with or without a comment.

        Raises:
            asyncssh.KeyImportError: This is not a public key.
        """
        kind, blob = key.split()[:2]
        self._keys.add(asyncssh.import_public_key(f"{kind} {blob}").public_data)

    def __contains__(self, key: asyncssh.SSHKey) -> bool:
        return key.public_data in self._keys


class _DeafListener(asyncssh.SSHListener):
    """A remote forwarding that is accepted and never used."""

    def close(self) -> None:
        """Nothing is open."""

    async def wait_closed(self) -> None:
        """Nothing is open."""


class _Server(asyncssh.SSHServer):
    """One connection to a machine."""

    def __init__(
        self, login: Login, connections: set[asyncssh.SSHServerConnection] | None = None
    ) -> None:
        self.login = login
        self._connections = connections if connections is not None else set()
        self._connection: asyncssh.SSHServerConnection | None = None
        self._in = False

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._connections.add(conn)

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return self.login.accepts(key)

    def auth_completed(self) -> None:
        self._in = True
        self.login.connection_opened()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection is not None:
            self._connections.discard(self._connection)
        if self._in:
            self.login.connection_closed()

    async def _open(self, host: str, port: int) -> asyncssh.SSHTCPSession[bytes]:
        try:
            if host in _LOCAL_NAMES:
                factory = await self.login.connect(port)
            else:
                factory = await self.login.connect_elsewhere(host, port)
        except OSError as error:
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_CONNECT_FAILED, error.strerror or str(error)
            ) from error
        return ProtocolSession(factory)

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> asyncio.Future[asyncssh.SSHTCPSession[bytes]]:
        return asyncio.ensure_future(self._open(dest_host, dest_port))

    def unix_server_requested(self, listen_path: str) -> asyncssh.SSHListener:
        return _DeafListener()


async def _run_command(process: asyncssh.SSHServerProcess[str]) -> None:
    server = process.get_extra_info("connection").get_owner()
    assert isinstance(server, _Server)
    if process.command is None:
        # A shell that ends at once, and well: OpenSSH asks for one when it adds forwardings to a
        # connection that it shares.
        process.stdout.write("This machine is emulated and has no shell.\r\n")
        process.exit(0)
        return
    result = server.login.run(process.command)
    process.stdout.write(result.stdout)
    process.stderr.write(result.stderr)
    process.exit(result.exit_status)


def _open_files(channel: asyncssh.SSHServerChannel[bytes]) -> asyncssh.SFTPServer:
    server = channel.get_connection().get_owner()
    assert isinstance(server, _Server)
    folder = server.login.files
    if folder is None:
        raise asyncssh.SFTPNoConnection("This machine has no files.")
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    return asyncssh.SFTPServer(channel, chroot=bytes(folder))


def make_host_key(folder: Path) -> asyncssh.SSHKey:
    """Makes the key that identifies every emulated machine of a pool, and keeps it in a file."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    path = folder / "host_key"
    key.write_private_key(path)
    path.chmod(0o600)
    return key


def server_options(host_key: asyncssh.SSHKey) -> asyncssh.SSHServerConnectionOptions:
    """What all SSH servers of a pool have in common; cheap algorithms, as all stays on loopback."""
    return asyncssh.SSHServerConnectionOptions(
        server_host_keys=[host_key],
        process_factory=_run_command,
        sftp_factory=_open_files,
        kex_algs=["curve25519-sha256", "curve25519-sha256@libssh.org"],
        encryption_algs=["aes128-gcm@openssh.com", "aes128-ctr", "aes256-ctr"],
        mac_algs=["hmac-sha2-256", "hmac-sha2-256-etm@openssh.com"],
        compression_algs=None,
        login_timeout=30,
        keepalive_interval=0,
        agent_forwarding=False,
        x11_forwarding=False,
    )


class SshListener:
    """The listening SSH server of one machine, which can go away and come back."""

    def __init__(
        self, login: Login, address: str, options: asyncssh.SSHServerConnectionOptions
    ) -> None:
        self.address = address
        self.port = 0
        self._login = login
        self._options = options
        self._acceptor: asyncssh.SSHAcceptor | None = None
        self._connections: set[asyncssh.SSHServerConnection] = set()

    @property
    def listening(self) -> bool:
        """Whether the machine can be reached."""
        return self._acceptor is not None

    async def open(self) -> None:
        """Listens; on a free port the first time, on the same port later.

        Raises:
            OSError: The port is taken.
        """
        if self._acceptor is None:
            self._acceptor = await asyncssh.listen(
                self.address,
                self.port,
                options=self._options,
                server_factory=lambda: _Server(self._login, self._connections),
                reuse_address=True,
            )
            self.port = self._acceptor.get_port()

    async def cut(self) -> None:
        """Closes the listening socket and aborts every connection."""
        acceptor, self._acceptor = self._acceptor, None
        if acceptor is not None:
            acceptor.close()
        for connection in list(self._connections):
            connection.abort()
        self._connections.clear()


async def serve_in_process(
    login: Login,
    options: asyncssh.SSHServerConnectionOptions,
    keep_task: Callable[[asyncio.Task[None]], None],
) -> ProtocolFactory:
    """Runs an SSH server on one forwarded connection: the sshd of a container."""
    near, far = socket.socketpair()

    async def run() -> None:
        try:
            connection = await asyncssh.run_server(
                far, options=options, server_factory=lambda: _Server(login)
            )
        except (OSError, asyncssh.Error) as error:
            _logger.debug("A connection to a container ended early: %s", error)
            return
        await connection.wait_closed()

    keep_task(asyncio.ensure_future(run()))
    return await relay_to_socket(near)
