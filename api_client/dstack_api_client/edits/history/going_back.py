"""The way back to an earlier deployment of a service, through the same plan as any other edit."""

from __future__ import annotations

from dataclasses import dataclass

from dstack_api_client.edits.base.base import Base
from dstack_api_client.edits.errors import NotKeptError
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.edits.spec import fields
from dstack_api_client.edits.spec.group_roles import GROUPS
from dstack_api_client.edits.store.deployments import KeptSpec, changes, spec_of
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.model.capabilities import Capabilities
from dstack_api_client.text import one_line


@dataclass(frozen=True)
class WayBack:
    """An edit that leads to an earlier deployment.

    Attributes:
        edit: The edit, on what is there now.
        kept: What it leads to.
        left_out: Fields that stay as they are, since they may hold a secret and are not kept.
    """

    edit: ServiceEdit
    kept: KeptSpec
    left_out: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be known of it, a sentence each."""
        at = f"{self.kept.at.astimezone():%Y-%m-%d %H:%M:%S}"
        to = f"This goes back to deployment {self.kept.deployment}, as it was at {at}."
        if not self.left_out:
            return (to,)
        names = ", ".join(self.left_out)
        return (to, f"Left as it is, since it may hold a secret and is not kept: {names}.")


def way_back(store: Store, base: Base, capabilities: Capabilities, number: int) -> WayBack:
    """The edit that leads to an earlier deployment.

    Args:
        store: Where specs are kept.
        base: The service as it is now.
        capabilities: What its server can do.
        number: The number of the deployment.

    Raises:
        NotKeptError: Its spec is not kept, or not enough of it.
        EndedError: The service has ended.
    """
    name = one_line(base.target.name)
    base.refuse_gone()
    kept = store.deployments(base.target, base.id)
    if number > base.deployment:
        raise NotKeptError(
            f"{name} has no deployment {number}.",
            f"It is at {base.deployment}: name one before.",
        )
    if number not in kept:
        known = ", ".join(str(each) for each in sorted(kept) if each != base.deployment)
        raise NotKeptError(
            f"The spec of deployment {number} of {name} is not kept here.",
            f"Kept are: {known}."
            if known
            else "Specs are kept on the machine and by the user that applied a change."
            f" A file of then is planned with: plan {name} -f FILE.",
        )
    now, then = spec_of(base.spec, base.deployment, base.read_at), kept[number]
    lost = _groups(then) - _groups(now)
    if lost:
        names = ", ".join(map(one_line, sorted(lost)))
        raise NotKeptError(
            f"Deployment {number} of {name} had the replica groups {names}, whose commands are not"
            " kept.",
            "Apply its configuration file.",
        )
    values = {path: was for path, (was, _) in changes(then, now).items()}
    left_out = tuple(
        fields.name_of(path) for path in dict.fromkeys((*then.left_out, *now.left_out))
    )
    return WayBack(ServiceEdit.begin(base, capabilities).with_values(values), then, left_out)


def _groups(spec: KeptSpec) -> set[str]:
    """The names of the replica groups."""
    return {
        str(name)
        for path, names in spec.known
        if path[-1] == fields.ORDER and len(path) == 3 and path[1] in GROUPS
        for name in names
    }
