"""Standard streams that are closed, or that nothing can be written to any more."""

from __future__ import annotations

import errno
import os
import sys

#: Why a file takes nothing more; none of it is a fault of this program.
_TAKES_NOTHING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


def open_closed() -> None:
    """Has streams that were closed lead nowhere: the next file that is opened would be one else."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            # It gets the lowest number that is free, which is this one; children get it too.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - for good


def give_up_output() -> None:
    """Has the standard output lead nowhere: Python writes what is left once more as it ends."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)


def unwritten(error: OSError) -> str | None:
    """Why the standard output takes nothing more; None where the error is another one's."""
    if isinstance(error, BrokenPipeError):
        return "nobody reads it any more"
    if error.errno in _TAKES_NOTHING and error.filename is None:
        return error.strerror
    return None
