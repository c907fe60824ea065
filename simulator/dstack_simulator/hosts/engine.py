"""What the command line of an inference engine says about it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Role = Literal["regular", "prefill", "decode"]
Runtime = Literal["sglang", "vllm"]

#: Set to `true` or `false` in a job's `env`, it decides whether the job's engines drain.
DRAINS_VARIABLE = "EMULATED_ENGINE_DRAINS"

_BOOTSTRAP_PORT = 8998


@dataclass(frozen=True)
class EngineOptions:
    """What the command line of an engine says about it."""

    model: str
    role: Role = "regular"
    runtime: Runtime = "sglang"
    bootstrap_port: int = _BOOTSTRAP_PORT
    tensor_parallel: int = 1
    api_key: str = ""
    drains: bool = False
    """At SIGINT open requests end as they would, and new ones are refused; else they are cut."""


class EngineOptionsError(ValueError):
    """An option of an emulated engine makes no sense."""


def read_engine_options(
    command: str, *, default_model: str, env: Mapping[str, str] | None = None
) -> EngineOptions:
    """Reads what matters from an engine's command line and environment.

    Raises:
        EngineOptionsError: The environment makes no sense.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    flags: dict[str, str] = {}
    for position, word in enumerate(words):
        if word.startswith("-"):
            name, equals, value = word.partition("=")
            following = words[position + 1] if position + 1 < len(words) else ""
            flags[name] = value if equals else following
    runtime: Runtime = "vllm" if re.search(r"\bvllm\b", command) else "sglang"
    model = _first(flags, "--served-model-name", "--model-path", "--model", "--model-id")
    if not model and "serve" in words[:-1]:
        after = words[words.index("serve") + 1]
        model = "" if after.startswith("-") else after
    mode = flags.get("--disaggregation-mode", "")
    role: Role = "prefill" if mode == "prefill" else "decode" if mode == "decode" else "regular"
    return EngineOptions(
        model=model or default_model,
        role=role,
        runtime=runtime,
        bootstrap_port=_number(flags.get("--disaggregation-bootstrap-port"), _BOOTSTRAP_PORT),
        tensor_parallel=_number(
            _first(flags, "--tp", "--tp-size", "--tensor-parallel-size", "-tp"), 1
        ),
        api_key=flags.get("--api-key", ""),
        drains=_drains(command, (env or {}).get(DRAINS_VARIABLE, "")),
    )


def _drains(command: str, asked: str) -> bool:
    if not asked:
        return re.search(r"\bsglang\b", command) is not None
    if asked not in ("true", "false"):
        raise EngineOptionsError(f"{DRAINS_VARIABLE} is {asked!r}. Use true or false.")
    return asked == "true"


def _first(flags: Mapping[str, str], *names: str) -> str:
    return next((flags[name] for name in names if flags.get(name)), "")


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() else default
