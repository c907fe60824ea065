"""A private folder for keys and edited text: gone when it is not needed any more."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "dstack-fleets-tui-"


class PrivateFolder:
    """A folder of mode 0700 in the user's runtime folder.

    What a process that was killed left behind is removed by the next one.

    Args:
        parent: Where to make it; the user's runtime folder if None.
    """

    def __init__(self, parent: Path | None = None) -> None:
        parent = parent or _runtime_folder()
        remove_left_behind(parent)
        self.path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))

    def write(self, name: str, text: str) -> Path:
        """Writes a file of mode 0600 that was not there."""
        path = self.path / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def remove(self, *names: str) -> None:
        """Removes files, if they are there."""
        for name in names:
            (self.path / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Removes the folder and everything in it."""
        shutil.rmtree(self.path, ignore_errors=True)


def _runtime_folder() -> Path:
    """The folder of this user alone that is emptied at logout, where there is one."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_absolute() and os.access(runtime, os.W_OK):
        return Path(runtime)
    return Path(tempfile.gettempdir())


def remove_left_behind(parent: Path | None = None) -> None:
    """Removes the folders of processes that were killed.

    Args:
        parent: Where to look; the user's runtime folder if None.
    """
    for path in (parent or _runtime_folder()).glob(f"{_PREFIX}*-*"):
        pid = path.name[len(_PREFIX) :].partition("-")[0]
        with contextlib.suppress(OSError):
            mine = path.lstat().st_uid == os.getuid() and path.is_dir() and not path.is_symlink()
            if mine and pid.isdigit() and not _is_alive(int(pid)):
                shutil.rmtree(path, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_missing(path: Path) -> bool:
    """Whether there is no such file; one that can't be looked at may be there."""
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False
