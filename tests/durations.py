"""Writes how long each story takes that is not short, from the JUnit report of a run of them.

`make test ARGS='--junitxml=PATH'`, then `python -m tests.durations PATH`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

FILE = Path(__file__).with_suffix(".json")
#: Seconds below which a test counts as this long.
_SHORT = 1.0


def main() -> None:
    """Replaces what is known of each story in the report: the `@` of its name gives it away."""
    known = json.loads(FILE.read_text(encoding="utf-8"))
    for case in ElementTree.parse(sys.argv[1]).getroot().iter("testcase"):
        name, at, _ = case.get("name", "").rpartition("@")
        if not (at and name) or case.find("skipped") is not None:
            continue
        key = f"{case.get('classname', '').rpartition('.')[2]}::{name}"
        known.pop(key, None)
        if (seconds := float(case.get("time", 0))) > _SHORT:
            known[key] = round(seconds, 1)
    FILE.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
