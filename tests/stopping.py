"""Ending a run of a real server."""

from __future__ import annotations

from dstack_api_client.snapshot import FINISHED
from dstack_simulator import Simulator
from tests.waiting import until


async def stopped(sim: Simulator, name: str, *, abort: bool = True, limit: float = 120) -> str:
    """Stops a run, and waits for its end.

    dstack 0.22.5 loses a stop that comes while it works out another status of the run: `stop_runs`
    leaves the lock's token as it is, so `_apply_active_result` writes `running` over `terminating`.
    A run that is not on its way is told again.

    Args:
        sim: Whose server has the run.
        name: The run.
        abort: Whether its replicas get no time to end by themselves.
        limit: As in `until`, in seconds.

    Returns:
        The status that it has ended with.
    """

    async def ended() -> str | None:
        status: str = (await sim.run(name))["status"]
        if status not in {*FINISHED, "terminating"}:
            await sim.stop_run(name, abort=abort)
        return status if status in FINISHED else None

    status: str = await until(ended, limit=limit, every=0.3, what=f"{name} has ended")
    return status
