"""What the dashboard can ask of the demo that it runs on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from dstack_fleets_tui.actions.commands import CommandError

#: The variables by which the simulator says where names of faults go, and which there are.
PIPE, NAMES = "DSTACK_SIMULATOR_FAULTS", "DSTACK_SIMULATOR_FAULT_NAMES"


@dataclass(frozen=True)
class Demo:
    """The demo around the dashboard.

    Attributes:
        pipe: Where names of faults are written; None outside of a demo.
        faults: What each fault is, by its name.
    """

    pipe: Path | None = None
    faults: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Demo:
        """The demo that an environment tells of."""
        try:
            faults = msgspec.json.decode(environ.get(NAMES, ""), type=dict[str, str])
        except msgspec.DecodeError:
            return cls()
        return cls(Path(environ[PIPE]) if environ.get(PIPE) else None, faults)

    @property
    def is_there(self) -> bool:
        """Whether the dashboard runs on a demo."""
        return self.pipe is not None

    def set_fault(self, name: str) -> str:
        """Has something go wrong.

        Args:
            name: The name of the fault.

        Returns:
            What goes wrong, a sentence.

        Raises:
            CommandError: There is no such fault, or no demo.
        """
        if self.pipe is None:
            raise CommandError("Faults are for the demo: start `dstack-fleets-tui demo`.")
        if name not in self.faults:
            known = f"Use one of: {', '.join(self.faults)}." if self.faults else "It has none."
            raise CommandError(f"The demo has no fault {name}. {known}" if name else known)
        try:
            handle = os.open(self.pipe, os.O_WRONLY | os.O_NONBLOCK)
            try:
                os.write(handle, f"{name}\n".encode())
            finally:
                os.close(handle)
        except OSError as error:
            raise CommandError(f"The demo does not answer: {error.strerror}.") from error
        told = self.faults[name]
        return f"{told[:1].upper()}{told[1:]}."
