"""The dashboard, which waits for a change that is being made as long as it takes when it is ended.

`python -m tests.servers.patient_dashboard`. By itself it waits some seconds, which an answer on a
busy machine may take.
"""

from __future__ import annotations

import sys

from dstack_fleets_tui.changes import service
from dstack_fleets_tui.cli.main import main

#: Seconds; tests end sooner what never ends.
_LONG = 600.0

if __name__ == "__main__":
    service._FINISH_WITHIN = _LONG
    sys.exit(main())
