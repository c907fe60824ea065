"""A real dstack server with emulated hosts and cloud.

`Simulator` is imported from `dstack_simulator.handle.simulator` when it is first asked for, so that
the processes a simulator starts do not load what only its handle needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dstack_simulator.errors import PortTakenError, ScenarioError, SimulatorError
    from dstack_simulator.handle.simulator import Simulator

__all__ = ["PortTakenError", "ScenarioError", "Simulator", "SimulatorError"]


def __getattr__(name: str) -> Any:
    if name == "Simulator":
        from dstack_simulator.handle.simulator import Simulator

        return Simulator
    if name in __all__:
        from dstack_simulator import errors

        return getattr(errors, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
