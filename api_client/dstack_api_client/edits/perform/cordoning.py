"""Having a server take a fleet or an instance out of service, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from dstack_api_client import errors
from dstack_api_client.edits.base.base import Base
from dstack_api_client.edits.errors import EditError
from dstack_api_client.edits.perform.performing import Performed
from dstack_api_client.edits.perform.requesting import begun, requested
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.model.capabilities import CORDONS, Capabilities
from dstack_api_client.model.cordon import DrainPlan
from dstack_api_client.text import one_line
from dstack_api_client.transport.client import Client

CordonAction = Literal["cordon", "drain", "uncordon"]

_DONE = {
    "cordon": "{} is cordoned: nothing new is placed there.",
    "drain": "{} is drained: nothing new is placed there, and what can move moves away.",
    "uncordon": "{} is in service again.",
}


@dataclass(frozen=True, slots=True)
class CordonChange:
    """What is asked for.

    Attributes:
        action: What is done.
        fleet: The fleet's name.
        number: The instance's number; None for the whole fleet.
        reason: Why.
        force: Whether replicas whose address others hold move away too.
    """

    action: CordonAction
    fleet: str
    number: int | None = None
    reason: str = ""
    force: bool = False

    @property
    def name(self) -> str:
        """`gpu-reserved`, or `gpu-reserved/1` for an instance."""
        fleet = one_line(self.fleet)
        return fleet if self.number is None else f"{fleet}/{self.number}"

    @property
    def title(self) -> str:
        """What it is about at the beginning of a sentence."""
        return f"{'Fleet' if self.number is None else 'Instance'} {self.name}"

    @property
    def settings(self) -> dict[str, Any]:
        """What is sent besides the fleet and the instance."""
        if self.action == "uncordon":
            return {}
        reason = {"reason": self.reason}
        return reason if self.action == "cordon" else {**reason, "force": self.force}

    @property
    def done(self) -> str:
        """What was done, one sentence."""
        return _DONE[self.action].format(self.title)


def refuse_unable(capabilities: Capabilities) -> None:
    """Makes sure that a server can do it.

    Raises:
        EditError: It has no placement add-on, or an older one.
    """
    if not capabilities.can(CORDONS):
        raise EditError(
            "This server can't cordon or drain: its placement add-on is missing or older.",
            "Install or update 'dstack-fleets-tui[server]' there.",
        )


async def drain_plan(client: Client, project: str, change: CordonChange) -> DrainPlan:
    """What a drain would do; changes nothing.

    Raises:
        ApiError: The server could not be asked.
    """
    return await client.cordons.drain_plan(project, change.fleet, change.number, force=change.force)


async def carry_out(
    client: Client, base: Base, change: CordonChange, store: Store, *, user: str = ""
) -> Performed:
    """Asks for it, and writes the audit log whatever came of it.

    The caller has asked for confirmation.

    Args:
        client: Where.
        base: The fleet.
        change: What is asked for.
        store: Where the audit log is.
        user: The server's user, by `performing.who`.

    Raises:
        ReadOnlyError: The client only reads; nothing was sent.
        UnansweredError: It was sent, and whether it was done is not known.
        ApiError: The server refused it, or it could not be sent.
    """
    record = begun(client, store, base.target, user=user, action=change.action)
    what = f"The {change.action} of {change.name}"
    project = base.target.project

    async def ask() -> None:
        body = await client.cordons.change(
            project, change.action, change.fleet, change.number, change.settings
        )
        client.decode(body, _answer.decode, what)

    async def became(error: errors.ApiError) -> bool | None:
        return True if await _is_done(client, project, change) else None

    await requested(record, ask, what, not_done="not done", became=became)
    reason = f" {one_line(change.reason)}" if change.reason else ""
    record.applied(f"{change.done}{reason}")
    return Performed(base, None, tuple(record.notices), change.done)


async def _is_done(client: Client, project: str, change: CordonChange) -> bool:
    """Whether the server can be read and is as it was asked to be."""
    try:
        found = await client.cordons.on(project, change.name)
    except errors.ApiError:
        return False
    if change.action == "uncordon":
        return found is None
    if found is None or one_line(change.reason) not in ("", found.reason):
        return False  # what was cordoned before has the reason of then
    if change.action == "cordon":
        return True
    return found.draining_since is not None and (found.force or not change.force)


class _Answer(msgspec.Struct):
    """An answer that says neither what changed nor what is there is none."""

    cordon: dict[str, Any] | None


_answer = msgspec.json.Decoder(_Answer)
