"""Commands that are tried on a network that fails, and what they end with."""

from __future__ import annotations

SET = ["--set", "priority=7"]
#: Each command by a name, and the code that it ends with where all is well.
COMMANDS: dict[str, tuple[list[str], int]] = {
    **{
        kind: (["get", kind], 4 if kind == "problems" else 0)
        for kind in (
            "fleets",
            "instances",
            "services",
            "runs",
            "replicas",
            "distribution",
            "router",
            "problems",
            "events",
        )
    },
    "one distribution": (["get", "distribution", "chat"], 0),
    "plan": (["plan", "chat", *SET], 2),
    "apply": (["apply", "chat", *SET, "--yes"], 0),
    "apply --wait": (["apply", "chat", *SET, "--yes", "--wait", "0.01"], 5),
    "undo": (["undo", "chat", "--yes"], 0),
    "rebalance": (["rebalance", "chat", "--yes"], 0),
}
WRITES = dict.fromkeys(("apply", "apply --wait", "undo"), "runs/apply")
