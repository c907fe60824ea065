"""Emulated hosts under a real dstack server: sshd, shim, runner, containers and gateways.

The public names and their signatures (all in one process and one event loop):

    pool = HostPool(folder=Path, login_keys=[PUBLIC_KEY, ...], timings=Timings())
    host = await pool.add(HostSpec(...), authorized_keys=[...])     # kinds "ssh" and "cloud"
    gateway = await pool.add_gateway(HostSpec(..., kind="gateway"), authorized_keys=[...])
    await pool.remove(name)
    pool.hosts: Mapping[str, Host]
    pool.gateways: Mapping[str, EmulatedGateway]
    pool.containers(text) -> list[Container]    # by job id, job name ("my-run-0-0") or run name
    pool.requests(text) -> list[Tally]          # of their engines: open, answered, cut, ...
    await pool.close()

    host.name, host.address, host.ssh_port, host.spec
    host.containers: Mapping[str, Container]    # by task id
    await host.set_reachable(bool)
    host.set_health("healthy" | "warning" | "failure", message="")

    container.job_name, container.job_id, container.run_name, container.running
    container.fail_health(failing=True)         # the inference worker answers 503
    await container.crash(exit_status=1)        # the job's process dies
    container.set_rate(requests_per_second)     # the load; None: a slow wave of its own
    await container.restart_router()            # the smg process is killed and started again

    gateway.name, gateway.address, gateway.ssh_port
    gateway.services                            # "project/run" -> registered service
    gateway.set_rps(run_name, requests_per_second, for_seconds=0)
    await gateway.set_reachable(bool)

The server connects to gateways at port 22 of their address; its `DSTACK_SSH_CLIENT` has to be a
program that adds `-p PORT` for the addresses of `pool.gateways`.
"""

from dstack_simulator.hosts.container import Container
from dstack_simulator.hosts.gateway import EmulatedGateway
from dstack_simulator.hosts.host import Host
from dstack_simulator.hosts.network import NoAddressError
from dstack_simulator.hosts.pool import HostPool
from dstack_simulator.hosts.requests import Tally
from dstack_simulator.hosts.specs import GpuSpec, HostKind, HostSpec, Timings, passed

__all__ = [
    "Container",
    "EmulatedGateway",
    "GpuSpec",
    "Host",
    "HostKind",
    "HostPool",
    "HostSpec",
    "NoAddressError",
    "Tally",
    "Timings",
    "passed",
]
