"""Recordings that come with the program."""

from __future__ import annotations

from pathlib import Path

from dstack_api_client.errors import RecordingError
from dstack_api_client.recordings.reader import Recording, read_recording

#: What was recorded by `python -m screenshots.recorded_incident`.
INCIDENT = "incident"


def path_of(name: str) -> Path:
    """Where a recording of the program is."""
    return Path(__file__).with_name(f"{name}.jsonl.gz")


def read_named(text: str) -> Recording:
    """Reads the recording in a file, or one of the program by its name.

    Raises:
        RecordingError: There is none, or it can't be read.
    """
    path = Path(text)
    is_there = path.exists()
    try:
        return read_recording(path if is_there or text != INCIDENT else path_of(text))
    except RecordingError as error:
        if is_there:
            raise
        hint = f"Name a file that was made with --record, or `{INCIDENT}`."
        raise RecordingError(error.message, hint) from error
