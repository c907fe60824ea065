"""The seed that the generated cases come from."""

from __future__ import annotations

import sys

import pytest

from tests.builders.generation import SEED


@pytest.fixture(autouse=True)
def _seed_shown_on_failure() -> None:
    sys.stdout.write(f"DSTACK_FLEETS_TESTS_SEED={SEED}\n")
