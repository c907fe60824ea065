"""The shape of the placement add-on's answer to a preview."""

from __future__ import annotations

from datetime import datetime
from itertools import zip_longest

from dstack_api_client.text import one_line
from dstack_api_client.transport.wire_addon import PlacementLane
from dstack_api_client.transport.wire_values import Answer, Count, Timed
from dstack_placement.engine import Line


class PreviewLane(PlacementLane):
    """A lane, with how many replicas it has in the end."""

    after: Count = 0


class PreviewReplica(Answer):
    """What one replica would do."""

    replica_num: Count
    group: str
    action: str
    new: bool = False
    fleet: str | None = None
    to: str | None = None
    reason: str | None = None
    why: str = ""


class Preview(Timed):
    """What would happen."""

    times = ("observed_at",)

    run_id: str
    observed_at: datetime
    managed: bool = False
    lanes: list[PreviewLane] = []
    replicas: list[PreviewReplica] = []
    notes: list[str] = []
    note_codes: list[str] = []

    def coded_notes(self) -> tuple[Line, ...]:
        """The notes with their codes."""
        pairs = zip_longest(self.notes, self.note_codes[: len(self.notes)], fillvalue="")
        return tuple(Line(one_line(note), code) for note, code in pairs)
