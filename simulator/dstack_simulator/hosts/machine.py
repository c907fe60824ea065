"""What hosts and gateways have alike."""

from __future__ import annotations

from dstack_simulator.hosts.network import Network
from dstack_simulator.hosts.specs import HostSpec
from dstack_simulator.hosts.sshd import SshListener


class Machine:
    """Something with a name, a loopback address of its own and an sshd."""

    spec: HostSpec
    network: Network
    _listener: SshListener

    @property
    def name(self) -> str:
        """The name in the pool."""
        return self.spec.name

    @property
    def address(self) -> str:
        """The loopback address, which is its own."""
        return self.network.address

    @property
    def ssh_port(self) -> int:
        """The port of its sshd.

        The server asks a gateway for port 22, so there its `ssh` has to be told.
        """
        return self._listener.port

    @property
    def reachable(self) -> bool:
        """Whether it is on the network."""
        return self._listener.listening
