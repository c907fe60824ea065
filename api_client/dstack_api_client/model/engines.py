"""What the commands of a replica group tell of its inference engine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: The parts that workers of a disaggregated service play, in the order of a request's way.
ROLES = ("encode", "prefill", "decode")
REGULAR = "regular"
#: What a replica does that sends requests on to the others.
ROUTER = "router"

_VLLM = re.compile(r"\bvllm\b")
_SGLANG = re.compile(r"\bsglang\b")
_GRPC = re.compile(r"(?<!\S)--grpc(?:-mode)?\b|\bgrpc_server\b|\bgrpc\.server\b")
_API_KEY = re.compile(r"(?<!\S)--api-key\b")
#: How engines are told their part: SGLang and TensorRT-LLM, SGLang's encoders, Dynamo's vLLM.
_ROLE = re.compile(r"--disaggregation-mode[\s=]+['\"]?(encode|prefill|decode)\b")
_ENCODER = re.compile(r"(?<!\S)--encoder-only\b")
_DYNAMO_ROLE = re.compile(r"(?<!\S)--is-(prefill|decode)-worker\b")
#: vLLM's connectors of caches, of keys and values or of what encoders make.
_VLLM_ROLE = re.compile(r"kv_role\W+kv_(producer|consumer)\b")
_VLLM_ENCODER = re.compile(r"ec_role\W+ec_producer\b")
_KV_ROLES = {"producer": "prefill", "consumer": "decode"}
#: A router that sends each request to a prefill and a decode worker.
_DISAGGREGATES = re.compile(r"(?<!\S)--pd-disaggregation\b")


@dataclass(frozen=True, slots=True)
class Engine:
    """What a replica group's commands say of its inference engine."""

    name: str | None
    """`sglang` or `vllm`; None for what is neither, or can't be seen."""
    grpc: bool
    asks_key: bool
    """Whether it answers only who knows an API key."""
    role: str | None
    """`regular` or one of `ROLES`; None where the engine can't be seen."""


def engine_of(commands: Any, entrypoint: Any, image: Any) -> Engine:
    """The engine that a group starts.

    Args:
        commands: As in a configuration.
        entrypoint: As in a configuration.
        image: As in a configuration.
    """
    text = _text(commands, entrypoint, image)
    name = "vllm" if _VLLM.search(text) else "sglang" if _SGLANG.search(text) else None
    return Engine(
        name,
        grpc=_GRPC.search(text) is not None,
        asks_key=_API_KEY.search(text) is not None,
        role=_role(text) or (REGULAR if name else None),
    )


def disaggregates(router: Any, commands: Any) -> bool:
    """Whether a router sends each request to a prefill and a decode worker.

    Args:
        router: The `router` of a configuration.
        commands: The commands of the router's group.
    """
    if isinstance(router, Mapping) and router.get("pd_disaggregation") is True:
        return True
    return _DISAGGREGATES.search(_text(commands, None, None)) is not None


def _text(commands: Any, entrypoint: Any, image: Any) -> str:
    lines = " ".join(str(line) for line in commands) if isinstance(commands, list) else ""
    return f"{lines} {entrypoint or ''} {image or ''}"


def _role(text: str) -> str | None:
    if (found := _ROLE.search(text) or _DYNAMO_ROLE.search(text)) is not None:
        return found[1]
    if _ENCODER.search(text) or _VLLM_ENCODER.search(text):
        return "encode"
    if (found := _VLLM_ROLE.search(text)) is not None:
        return _KV_ROLES[found[1]]
    return None
