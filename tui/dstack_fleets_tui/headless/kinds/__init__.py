"""What `get` can print: a module for each kind, named like it, with its record as `KIND`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dstack_fleets_tui.headless.kinds.record import Kind

__all__ = ["DOCUMENTS", "KINDS", "events", "kind_named", "logs", "problems", "record"]

#: Each kind with what `get --help` says of it.
KINDS = {
    "fleets": "fleets with their nodes, GPUs and prices",
    "instances": "instances with what runs on them; NAME is a fleet",
    "services": "services with their replicas, router and rollout",
    "runs": "services, tasks and dev environments",
    "replicas": "replicas with where they run; NAME is a service",
    "distribution": "how replicas are spread over fleets, against lanes and targets",
    "router": "routers and their workers, against what dstack expects",
    "problems": "what is wrong; NAME is a service or a fleet",
    "history": "what was done to services, deployment by deployment; NAME is a service",
    "audit": "what was changed from this machine; NAME is a service or a fleet",
    "metrics": "figures for a monitoring system; NAME is a service or a fleet",
    "logs": "what the replicas of a service write; NAME is the service",
    "events": "what happened, the newest last; NAME is a service or a fleet",
}
#: The same for what is printed as a document and in no other form.
DOCUMENTS = {"report": "all of these about one service, as Markdown for an incident's channel"}
#: What is of one project: a service writes its logs in one.
OF_ONE = ("logs",)


def kind_named(name: str) -> Kind:
    """The record of a kind. Only its module is loaded: `--help` needs none of them."""
    found: Kind = import_module(f"{__name__}.{name}").KIND
    return found
