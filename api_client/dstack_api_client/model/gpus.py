"""The GPUs of an instance or of a job's share of one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gpus:
    """The GPUs of an instance or of a job's share of one."""

    name: str
    count: int
    memory_mib: int
    vendor: str | None = None
    """As the server names it, `nvidia`; None where it does not say."""

    def __str__(self) -> str:
        return f"{self.name}:{self.count}"
