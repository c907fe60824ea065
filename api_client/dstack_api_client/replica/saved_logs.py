"""Lines of logs as text, and in a file that only its owner reads."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path

from dstack_api_client.replica.logs import LogLine

_ODD = re.compile(r"[^A-Za-z0-9_.-]")


def line_text(line: LogLine) -> str:
    """One line with when it was written and by which replica, parted by tabs."""
    at = line.at.astimezone(timezone.utc).isoformat(timespec="milliseconds")
    return f"{at.replace('+00:00', 'Z')}\t{line.of}\t{line.text}"


def save(folder: Path, name: str, lines: Iterable[LogLine], now: datetime) -> Path:
    """Writes lines to a new file of mode 0600.

    Args:
        folder: Where; made, for its owner only, where it is missing.
        name: Whose logs they are.
        lines: The lines.
        now: For the name of the file.

    Returns:
        The file.

    Raises:
        OSError: It could not be written; nothing is left of it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{_ODD.sub('_', name)}-{now.astimezone():%Y%m%d-%H%M%S-%f}.log"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.writelines(f"{line_text(line)}\n" for line in lines)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path
