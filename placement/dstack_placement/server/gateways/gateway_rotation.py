"""Gateways and replicas that drain: no new requests reach them, and those that are open go on.

A gateway has no call for that: told to leave a replica out, it closes its tunnel to it. So it is
told only when the drain has ended. Until then the socket of the tunnel is removed, to which its
nginx passes requests: what is connected goes on, and nginx passes on to the next replica what it
can't connect. The socket's connections, which nginx opens for one request each, are what is open.
"""

from __future__ import annotations

import asyncio
import shlex
import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from dstack._internal.core.errors import SSHError
from dstack._internal.core.models.gateways import GatewayReplicaStatus
from dstack._internal.server.models import GatewayModel, GatewayReplicaModel
from dstack._internal.server.services.gateways.pool import gateway_connections_pool
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

_SITES = "/etc/nginx/sites-enabled"
#: Takes a replica, whether it is the last one that a service has, and nginx's sites. Prints whether
#: new requests may reach the replica still, and how many are open. One that no other takes over
#: from stays, and of two servers one looks after the other.
_SCRIPT = r"""
site=$(grep -l "# replica $1\$" "$3"/*.conf | head -n 1)
[ -n "$site" ] || { echo absent 0; exit 0; }
exec 9<"$site" && flock 9
own=$(sed -n "s|^ *server unix:\(.*\); *# replica $1\$|\1|p" "$site")
[ -n "$own" ] || exit 1
rotation=out
if [ -S "$own" ]; then
  [ "$2" = last ] || rotation=in
  for other in $(sed -n "/# replica $1\$/! s|^ *server unix:\(.*\); *# replica .*|\1|p" "$site")
  do [ ! -S "$other" ] || rotation=out
  done
  [ "$rotation" = in ] || rm -f "$own"
fi
echo "$rotation" "$(grep -Ec " 03 +[0-9]+ $own\$" /proc/net/unix)"
"""
#: One command at a time on each gateway, by its address: sshd takes ten on a connection.
_turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)


@dataclass(frozen=True, slots=True)
class GatewayMachine:
    """One of the machines that a gateway consists of.

    Attributes:
        address: Where dstack connects to.
        key: The private key with which it does.
    """

    address: str
    key: str


@dataclass(frozen=True, slots=True)
class GatewayLook:
    """A replica as a gateway has it.

    Attributes:
        in_rotation: Whether new requests may reach it.
        open: How many requests are open to it; None is not known.
    """

    in_rotation: bool
    open: int | None


async def machines_of(session: AsyncSession, gateway_id: uuid.UUID) -> list[GatewayMachine]:
    """The machines of a gateway that run."""
    legacy = select(GatewayModel.gateway_replica_id).where(GatewayModel.id == gateway_id)
    found = await session.execute(
        select(GatewayReplicaModel.ip_address, GatewayReplicaModel.ssh_private_key).where(
            or_(GatewayReplicaModel.gateway_id == gateway_id, GatewayReplicaModel.id.in_(legacy)),
            GatewayReplicaModel.status == GatewayReplicaStatus.RUNNING,
            GatewayReplicaModel.deleted.is_(False),
            GatewayReplicaModel.ip_address.is_not(None),
        )
    )
    return [GatewayMachine(str(address), key) for address, key in found]


async def take_out(
    machines: Iterable[GatewayMachine], job_id: uuid.UUID, *, is_last: bool
) -> GatewayLook:
    """Takes a replica out of a gateway's rotation as soon as another is in it, and looks at it.

    Args:
        machines: Those of the gateway.
        job_id: The replica's job.
        is_last: Whether the service has no other replica, nor waits for one.
    """
    looks = await asyncio.gather(*(_take_out(each, job_id, is_last) for each in machines))
    counts = [look.open for look in looks]
    return GatewayLook(
        in_rotation=any(look.in_rotation for look in looks),
        open=None if None in counts else sum(count for count in counts if count is not None),
    )


async def _take_out(machine: GatewayMachine, job_id: uuid.UUID, is_last: bool) -> GatewayLook:
    try:
        async with _turns[machine.address]:
            connection = await gateway_connections_pool.get_or_add(machine.address, machine.key)
            return read_look(await connection.tunnel.aexec(command(job_id, is_last=is_last)))
    except (SSHError, OSError, asyncio.TimeoutError, ValueError):
        return GatewayLook(in_rotation=True, open=None)


def command(job_id: uuid.UUID, *, is_last: bool, sites: str = _SITES) -> str:
    """What is run on a gateway."""
    arguments = (job_id.hex, "last" if is_last else "one", sites)
    return shlex.join(("/bin/sh", "-c", _SCRIPT, "sh", *arguments))


def read_look(printed: str) -> GatewayLook:
    """What the command printed.

    Raises:
        ValueError: It is something else.
    """
    rotation, count = printed.split()
    return GatewayLook(in_rotation=rotation == "in", open=int(count))
