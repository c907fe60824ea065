"""How a gateway's rotation is left: in what dstack has nginx read, with sockets as tunnels have."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from dstack._internal.core.errors import SSHError
from dstack._internal.proxy.gateway.services.nginx import (
    LocationConfig,
    Nginx,
    ReplicaConfig,
    ServiceConfig,
)

from dstack_placement.server.gateways import gateway_rotation
from dstack_placement.server.gateways.gateway_rotation import GatewayLook, GatewayMachine

JOBS = [uuid.UUID(int=number) for number in range(3)]


class Gateway:
    """A folder of nginx, and a socket for each replica, as the ends of tunnels are.

    Attributes:
        sites: What nginx reads.
        sockets: By job.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.sites = folder / "sites"
        self.sites.mkdir()
        self.sockets = {job: folder / f"{job.hex[-1]}.sock" for job in JOBS}
        self._stack = stack
        self._listeners = {job: self._listening(path) for job, path in self.sockets.items()}
        replicas = [
            ReplicaConfig(id=job.hex, socket=path, port=8000) for job, path in self.sockets.items()
        ]
        for domain, served in (("chat.example", replicas[:2]), ("other.example", replicas[2:])):
            site = ServiceConfig(
                domain=domain,
                https=False,
                project_name="main",
                auth=True,
                client_max_body_size=1,
                access_log_path=folder / "log",
                limit_req_zones=[],
                locations=[LocationConfig(prefix="/")],
                replicas=served,
                read_timeout=60,
            )
            name = Nginx.get_config_name(domain)
            (self.sites / name).write_text(site.render(), encoding="utf-8")

    def _listening(self, path: Path) -> socket.socket:
        listener = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        listener.listen()
        return listener

    def ask(self, job: uuid.UUID) -> None:
        """Connects to a replica, as nginx does for a request."""
        asking = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        asking.connect(str(self.sockets[job]))
        self._stack.enter_context(self._listeners[job].accept()[0])

    def take_out(self, job: uuid.UUID, *, is_last: bool = False) -> GatewayLook:
        """What the command does and prints."""
        command = gateway_rotation.command(job, is_last=is_last, sites=str(self.sites))
        ran = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
        assert not ran.stderr
        return gateway_rotation.read_look(ran.stdout)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    # The path of a socket may be of 107 bytes at most.
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        yield Gateway(Path(folder), stack)


def test_what_is_open_goes_on_and_nothing_new_comes(gateway: Gateway) -> None:
    first, second, _ = JOBS
    for _ in range(2):
        gateway.ask(first)
    gateway.ask(second)
    for _ in range(2):
        assert gateway.take_out(first) == GatewayLook(in_rotation=False, open=2)
        with pytest.raises(FileNotFoundError):
            gateway.ask(first)
    gateway.ask(second)


def test_the_last_one_stays_until_another_is_there(gateway: Gateway) -> None:
    first, second, only = JOBS
    gateway.take_out(first)
    assert gateway.take_out(second) == GatewayLook(in_rotation=True, open=0)
    gateway.ask(second)
    assert gateway.take_out(only) == GatewayLook(in_rotation=True, open=0)
    assert gateway.take_out(only, is_last=True) == GatewayLook(in_rotation=False, open=0)


def test_one_that_it_does_not_have_is_in_no_rotation(gateway: Gateway) -> None:
    assert gateway.take_out(uuid.UUID(int=9)) == GatewayLook(in_rotation=False, open=0)


def test_a_site_of_another_form_tells_nothing(gateway: Gateway) -> None:
    for site in gateway.sites.iterdir():
        text = site.read_text(encoding="utf-8")
        site.write_text(text.replace("server unix:", "server 127.0.0.1:"), encoding="utf-8")
    with pytest.raises(subprocess.CalledProcessError):
        gateway.take_out(JOBS[0])


class _Pool:
    """Connections to machines of a gateway: what the command prints there, or an error."""

    def __init__(self, printed: dict[str, str]) -> None:
        self._printed = printed
        self.tunnel = self

    async def get_or_add(self, hostname: str, id_rsa: str) -> _Pool:
        return _Pool({"": self._printed[hostname]})

    async def aexec(self, command: str) -> str:
        if not self._printed[""]:
            raise SSHError("Connection refused")
        return self._printed[""]


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (["out 2\n", "out 1\n"], GatewayLook(in_rotation=False, open=3)),
        (["out 2\n", "in 0\n"], GatewayLook(in_rotation=True, open=2)),
        (["out 2\n", ""], GatewayLook(in_rotation=True, open=None)),
        (["out 2\n", "sh: grep: command not found\n"], GatewayLook(in_rotation=True, open=None)),
        ([], GatewayLook(in_rotation=False, open=0)),
    ],
)
async def test_a_gateway_of_several_machines(
    printed: list[str], expected: GatewayLook, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = _Pool({str(number): text for number, text in enumerate(printed)})
    monkeypatch.setattr(gateway_rotation, "gateway_connections_pool", pool)
    machines = [GatewayMachine(str(number), "key") for number in range(len(printed))]
    assert await gateway_rotation.take_out(machines, JOBS[0], is_last=False) == expected
