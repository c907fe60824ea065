"""How many cases generated tests try, and the seed from which they come.

Tests that loop over random cases of their own are marked `generated`; hypothesis marks its own.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import pytest

#: How many times the usual number of cases are tried, which takes minutes; 0 is a tenth of it.
MANY = int(os.environ.get("DSTACK_FLEETS_TESTS_MANY") or 0)

_GIVEN = os.environ.get("DSTACK_FLEETS_TESTS_SEED")
#: Whether the cases are the same in each run, those of hypothesis too.
REPEATED = bool(_GIVEN)
#: Set it to the number that a test shows to get the same cases again.
SEED = int(_GIVEN or random.randrange(2**32))
#: Seconds that a test of generated cases may take, on a busy machine too.
GENERATED_LIMIT = 900 * max(1, MANY)
#: Parts that long tests are cut into, so that several processes share many cases.
PARTS = range(8 if MANY else 1)


#: Stories of several minutes, each beside a shorter one of its kind.
longest = pytest.mark.skipif(MANY < 2, reason="takes minutes: DSTACK_FLEETS_TESTS_MANY=2 runs it")


def cases(usual: int) -> int:
    """How many cases are tried of what usually has so many."""
    return MANY * usual if MANY else max(1, usual // 10)


def seeds(usual: int) -> list[int]:
    """The seeds of so many cases; a test prints the one at hand."""
    return [SEED + number for number in range(cases(usual))]


def covering(*values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """As few cases as hold each value: the first of all, the second of all, the shorter again."""
    return [
        tuple(each[number % len(each)] for each in values)
        for number in range(max(map(len, values)))
    ]


def combined(*values: Iterable[Any], slow: Collection[Any] = ()) -> list[Any]:
    """Parameters of a test: each value with each; `make test` tries as few as hold each of them.

    Args:
        values: The values of each parameter.
        slow: Values that take long, which are tried in `make test-slow` only.
    """
    wanted = {*covering(*([each for each in some if each not in slow] for some in values))}
    return [
        pytest.param(*case, marks=[] if case in wanted else [pytest.mark.slow])
        for case in itertools.product(*values)
    ]
