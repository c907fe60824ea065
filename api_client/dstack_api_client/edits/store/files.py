"""Files that several programs share: locked while they are changed, and whole at every moment."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_state_path

from dstack_api_client.edits.errors import NotKeptError
from dstack_api_client.text import one_line

#: Seconds that a lock is waited for. A screen stands still meanwhile, and who has it is done in
#: milliseconds, or has stopped.
LOCK_LIMIT = 0.5
_LOCK_EVERY = 0.01


def state_folder() -> Path:
    """The user's folder for what is kept from one start to the next."""
    return user_state_path("dstack-fleets-tui", appauthor=False)


@contextmanager
def locked(root: Path, name: str) -> Iterator[None]:
    """Keeps others from a part of a folder; makes the folder where it is missing.

    Args:
        root: The folder, for its owner only.
        name: The part.

    Raises:
        NotKeptError: The folder can't be written to, or another program does not let go.
    """
    with telling(str(root)):
        folder = root / "edits"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for each in (root, folder):
            if each.stat().st_mode & 0o077 and each.stat().st_uid == os.getuid():
                each.chmod(0o700)
        handle = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        with telling(str(root)):
            _lock(handle, root)
        yield
    finally:
        os.close(handle)  # which gives the lock back


def _lock(handle: int, root: Path) -> None:
    end = time.monotonic() + LOCK_LIMIT
    while not _try(handle):
        if time.monotonic() > end:
            raise NotKeptError(
                f"Another program holds the lock on {one_line(str(root))}.",
                "End the one that hangs; `fuser` says which it is.",
            )
        time.sleep(_LOCK_EVERY)


def _try(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def replace_whole(path: Path, data: bytes) -> None:
    """Replaces a file; a reader sees the old one or the new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-")  # 0600
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def append_line(path: Path, line: bytes) -> None:
    """Adds a whole line to a file, or nothing.

    Raises:
        OSError: It could not be written; what was written of it is taken away again.
    """
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(handle).st_size
        # What another program left of a line must not swallow this one.
        broken = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        left = memoryview(b"\n" * broken + line + b"\n")
        try:
            while left:
                left = left[os.write(handle, left) :]
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, size)
            raise
    finally:
        os.close(handle)


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Turns what the system refuses into a sentence.

    Args:
        what: What is written.

    Raises:
        NotKeptError: It could not be.
    """
    try:
        yield
    except OSError as error:
        raise unkept(f"{one_line(what)} can't be written: {error.strerror}.") from error


def unkept(message: str) -> NotKeptError:
    """What is raised when something could not be kept."""
    return NotKeptError(message, "Fix its permissions, or free some space.")
