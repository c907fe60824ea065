"""A disk that is really full, where a test may mount one."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_SIZE = "64k"


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mounts a disk of some pages on a folder, or skips the test.

    Yields:
        A file on it that `fill` fills it with, and that is removed to free it again.
    """
    if not sys.platform.startswith("linux"):
        pytest.skip("a tmpfs is Linux's")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "none", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount(8)")
    if done.returncode:
        pytest.skip(f"only root may mount a small disk: {done.stderr.strip()}")
    try:
        yield folder / "ballast"
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def write_protect(folder: Path, *, on: bool = True) -> None:
    """Lets nobody write to a mounted disk any more, or again."""
    how = "remount,ro" if on else "remount,rw"
    subprocess.run(["mount", "-o", how, str(folder)], check=True)


def fill(ballast: Path) -> None:
    """Takes all the room that there is."""
    try:
        with ballast.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
