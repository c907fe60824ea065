"""Where a job is reached: by its router, and by SSH."""

from __future__ import annotations

from collections.abc import Mapping

from dstack_api_client.model.replica import Login, SshHop
from dstack_api_client.text import one_line
from dstack_api_client.transport import wire

#: The port of the SSH server of a container on its host.
_CONTAINER_SSH_PORT = 10022
#: In place of a port, of a way into the container itself.
NO_PORT = 0


def _service_port(spec: wire.RunSpec, wanted: wire.JobSpec) -> int | None:
    port = wanted.service_port or spec.configuration.port
    if isinstance(port, Mapping):
        port = port.get("container_port")
    return port if isinstance(port, int) else None


def address_of(
    spec: wire.RunSpec, wanted: wire.JobSpec, data: wire.ProvisioningData | None
) -> str | None:
    """Where a router dials a replica: the server registers it so."""
    host = (data.internal_ip or data.hostname) if data is not None else None
    port = _service_port(spec, wanted)
    return f"{one_line(host)}:{port}" if host and port is not None else None


def login_of(
    spec: wire.RunSpec, job: wire.Job, latest: wire.JobSubmission, *, port: int | None = None
) -> Login | None:
    """The hosts on the way into a container, as dstack's own client passes them.

    Args:
        spec: The spec of the run.
        job: The job.
        latest: Its latest submission.
        port: The port that it leads to; that of the service without it.

    Returns:
        The way; None where the server does not say it yet.
    """
    data, runtime = latest.job_provisioning_data, latest.job_runtime_data
    port = _service_port(spec, job.job_spec) if port is None else port
    through = job.job_connection_info
    if port is None or data is None or not data.hostname or data.ssh_port is None:
        return None
    if through is not None and through.sshproxy_hostname and through.sshproxy_upstream_id:
        user = f"{through.sshproxy_upstream_id}_root"
        hop = SshHop(through.sshproxy_hostname, through.sshproxy_port or 22, user)
        return Login((hop,), own_jump=False, port=port, key=None)
    user = "root"
    if runtime is not None and runtime.username:
        user = runtime.username
    elif job.job_spec.user is not None and job.job_spec.user.username:
        user = job.job_spec.user.username
    hops = []
    if data.ssh_proxy is not None:
        proxy = data.ssh_proxy
        hops.append(SshHop(proxy.hostname, proxy.port, proxy.username))
    if data.dockerized is False:
        hops.append(SshHop(data.hostname, data.ssh_port, user))
    else:
        hops.append(SshHop(data.hostname, data.ssh_port, data.username or "root"))
        ports = (runtime.ports if runtime is not None else None) or {}
        inside = ports.get(str(_CONTAINER_SSH_PORT), _CONTAINER_SSH_PORT)
        hops.append(SshHop("localhost", inside, user))
    return Login(
        tuple(hops),
        own_jump=data.ssh_proxy is not None and data.dockerized is not False,
        port=port,
        key=spec.ssh_key_pub,
    )
