"""Ending a run of a real server."""

from __future__ import annotations

from dstack_api_client.model.replica import FINISHED
from dstack_simulator.handle.handle import Handle
from tests.waiting import until


async def stopped(sim: Handle, name: str, *, limit: float = 120) -> str:
    """Stops a run, and waits for its end.

    dstack 0.22.5 loses a stop that comes while it works out another status of the run: `stop_runs`
    leaves the lock's token as it is, so `_apply_active_result` writes `running` over `terminating`.
    A run that is not on its way is told again. It is not aborted: then dstack 0.22.5 asks no runner
    to stop, and waits for its output until `JOB_TERMINATION_DEADLINE`.

    Args:
        sim: Whose server has the run.
        name: The run.
        limit: As in `until`, in seconds.

    Returns:
        The status that it has ended with.
    """

    async def ended() -> str | None:
        status: str = (await sim.run(name))["status"]
        if status not in {*FINISHED, "terminating"}:
            await sim.stop_run(name)
        return status if status in FINISHED else None

    status: str = await until(ended, limit=limit, every=0.3, what=f"{name} has ended")
    return status
