"""Replica groups with lanes of their own behind a router."""

from __future__ import annotations

import pytest
import yaml

from dstack_simulator.handle.handle import Handle
from tests.servers.lanes import EXAMPLES
from tests.servers.stories import Look, Stories, Story, Watch, answers, by_group

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


async def _example(sim: Handle) -> None:
    """The second example of the manual: a router, prefill and decode, with the real router."""
    # The server asks a registry about an image, and there is none here.
    await sim.apply({**yaml.safe_load(EXAMPLES[1]), "image": None})
    watch = Watch(sim, "split")
    await watch.at_rest({"cpu": 1, "gpu-reserved": 3, "gpu-spot": 3})
    assert await by_group(sim, "split") == {
        "router": {"cpu": 1},
        "prefill": {"gpu-reserved": 2},
        "decode": {"gpu-reserved": 1, "gpu-spot": 3},
    }
    await answers(sim, "split")

    # The lanes and the counts of one group are edited in place; the others stay where they are.
    groups = (await sim.run("split"))["run_spec"]["configuration"]["groups"]
    decode = next(group for group in groups if group["name"] == "decode")
    decode["fleets"] = [{"name": "gpu-spot", "max_replicas": 2}, {"name": "gpu-reserved"}]
    decode["replicas"] = {"min": 3, "max": 3}

    def others_stay(look: Look) -> None:
        assert look.ready["cpu"] == 1, look
        assert look.ready["gpu-reserved"] >= 3, look

    watch.check = others_stay
    await sim.touch_run("split", groups=groups)
    await watch.at_rest({"cpu": 1, "gpu-reserved": 3, "gpu-spot": 2})
    assert await by_group(sim, "split") == {
        "router": {"cpu": 1},
        "prefill": {"gpu-reserved": 2},
        "decode": {"gpu-reserved": 1, "gpu-spot": 2},
    }
    await answers(sim, "split")


STORIES: dict[str, Story] = {"split": _example}


async def test_the_second_example_of_the_manual(life_stories: Stories) -> None:
    await life_stories["split"]
