"""The engine needs nothing but Python itself."""

from __future__ import annotations

import subprocess
import sys

_CODE = """
import sys
before = set(sys.modules)
import dstack_placement.engine
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(loaded - set(sys.stdlib_module_names) - {"dstack_placement"}))
"""


def test_the_engine_loads_nothing_but_the_standard_library() -> None:
    found = subprocess.run(
        [sys.executable, "-c", _CODE], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
