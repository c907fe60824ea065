"""Jobs of other projects on a project's instances."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: The numbers at the end of a job's name.
_NUMBERS = re.compile(r"-\d+-\d+$")


@dataclass(frozen=True, slots=True, order=True)
class Guest:
    """A job of a project that borrows a fleet."""

    project: str
    job: str

    @property
    def run(self) -> str:
        """`project/run`."""
        return f"{self.project}/{_NUMBERS.sub('', self.job)}"
