"""What the command line of an inference worker says of its place behind a router.

dstack itself asks a worker that runs. This is for those that don't yet, and costs no connection.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

#: What a router calls the part that a worker plays.
WorkerRole = Literal["regular", "encode", "prefill", "decode"]

_OPTION = r"--{}(?:\s+|=)['\"]?([\w-]+)"
_ROLE = re.compile(_OPTION.format("disaggregation-mode"))
_ROLES: dict[str, WorkerRole] = {"encode": "encode", "prefill": "prefill", "decode": "decode"}
#: SGLang's encoders, and vLLM's, which send what they make to others.
_ENCODER = re.compile(r"--encoder-only\b|ec_role\W+ec_producer\b")
_PORT = re.compile(_OPTION.format("disaggregation-bootstrap-port"))
_VLLM_ROLE = re.compile(r"kv_role\W+(kv_producer|kv_consumer)")
_SGLANG = re.compile(r"\bsglang(\.launch_server|\s+serve|\s+launch_server)\b")
_VLLM = re.compile(r"\bvllm(\.entrypoints\.|\s+serve\b)")
_GRPC = re.compile(r"--grpc-mode\b|--grpc\b|\bgrpc_server\b")


@dataclass(frozen=True, slots=True)
class WorkerCommand:
    """What was found.

    Attributes:
        role: None where no known inference server is started.
        bootstrap_port: Of a prefill worker, where one is given.
        scheme: Of the URL it is registered with.
    """

    role: WorkerRole | None
    bootstrap_port: int | None
    scheme: Literal["http", "grpc"]


def read_worker_command(commands: Sequence[str]) -> WorkerCommand:
    """Reads the commands of a job.

    Args:
        commands: As they stand in the job's spec.
    """
    # A command may go over several lines.
    text = "\n".join(commands).replace("\\\n", " ")
    scheme: Literal["http", "grpc"] = "grpc" if _GRPC.search(text) else "http"
    role: WorkerRole | None = None
    found = _ROLE.search(text)
    if found is not None and found[1] in _ROLES:
        role = _ROLES[found[1]]
    elif _ENCODER.search(text):
        role = "encode"
    elif (found := _VLLM_ROLE.search(text)) is not None:
        role = "prefill" if found[1] == "kv_producer" else "decode"
    elif _SGLANG.search(text) or _VLLM.search(text):
        role = "regular"
    port = _PORT.search(text) if role == "prefill" else None
    return WorkerCommand(role, int(port[1]) if port and port[1].isdecimal() else None, scheme)
