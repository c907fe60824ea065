"""Runs several commands of `dstack-fleets` in one process: starting dstack takes seconds each time.

Reads a JSON list of lists of arguments, and prints a list of exit code and output of each.
"""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout

from dstack_placement.server.command import prepare


def main() -> None:
    prepare(server=False)
    from dstack._internal.cli.main import main as dstack

    ended: list[tuple[int, str]] = []
    for arguments in json.load(sys.stdin):
        sys.argv = ["dstack-fleets", *arguments]
        printed = io.StringIO()
        code: object = 0
        with redirect_stdout(printed), redirect_stderr(printed):
            try:
                dstack()
            except SystemExit as end:
                code = end.code
        if isinstance(code, str):
            printed.write(code)
        ended.append((code if isinstance(code, int) else int(code is not None), printed.getvalue()))
    json.dump(ended, sys.stdout)


if __name__ == "__main__":
    main()
