"""Generated cases: how many, and the seed they come from."""

from __future__ import annotations

import sys

import pytest

from .generated import SEED


@pytest.fixture(autouse=True)
def _seed_shown_on_failure() -> None:
    sys.stdout.write(f"PLACEMENT_SEED={SEED}\n")
