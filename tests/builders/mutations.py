"""Slips of a server: random changes of its answers, in their JSON and in their bytes."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import msgspec

#: What may stand where something else is right.
WRONG: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 1e308, -0.5, "", "x", "²", "-1", "9" * 5000,
    "\x1b[31m\u202e\U000e0041", "\ud800", "a\nb\tc", "x" * 5000, "1..2", "../../x",
    "0001-01-01T00:00:00Z", "9999-12-31T23:59:59+14:00", "9999-12-31T23:59:59Z",
    "2026-03-01T12:00:00", "2026-03-01", "not a time", [], {}, [None], [[]], {"": None}, ["x"], [1],
    {"min": "x", "max": None}, {"min": 10**30}, {"name": 5}, {"name": None, "project": []},
    [{"name": "a"}, {"name": "a"}], {"type": "smg"}, {"type": ["sglang"]},
)  # fmt: skip
_DEEP = 5000


def mutated(answer: bytes, rng: random.Random) -> tuple[bytes, str]:
    """An answer with one to three slips in it.

    Returns:
        Its bytes, and what was done to it.
    """
    root = [msgspec.json.decode(answer)]
    done = [_slip(root, rng) for _ in range(rng.choice((1, 1, 2, 3)))]
    raw = json.dumps(root[0] if root else None).encode()
    if rng.random() < 0.1:
        raw, what = _broken(raw, rng)
        done.append(what)
    return raw, "; ".join(done)


def slipped(thing: Any, rng: random.Random) -> tuple[Any, str]:
    """A thing, which is changed, with one slip in it, and what was done to it."""
    root = [thing]
    what = _slip(root, rng)
    return root[0] if root else None, what


def _slip(root: list[Any], rng: random.Random) -> str:
    """Changes one thing below; the deeper ones are as likely as those above them."""
    path: list[Any] = []
    holder: Any = root
    key: Any = 0
    while isinstance(holder[key], dict | list) and holder[key] and rng.random() < 0.9:
        holder = holder[key]
        key = rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
        path.append(key)
    where = ".".join(map(str, path)) or "the whole"
    kind = rng.randrange(10)
    if kind == 0 and path:
        del holder[key]
        return f"{where} is gone"
    if kind == 1 and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[key]))
        return f"{where} twice"
    if kind == 2 and isinstance(holder, dict):
        holder[rng.choice(("x", "\u202e", "name", "min", "type"))] = holder.pop(key)
        return f"{where} renamed"
    if kind == 3:
        holder[key] = [copy.deepcopy(holder[key])]
        return f"{where} in a list"
    wrong = rng.choice(WRONG)
    holder[key] = copy.deepcopy(wrong)
    return f"{where} is {str(wrong)[:40]!r}"


def _broken(raw: bytes, rng: random.Random) -> tuple[bytes, str]:
    place = rng.randrange(len(raw) + 1)
    kind = rng.randrange(5)
    if kind == 0:
        return raw[:place], f"cut at {place}"
    if kind == 1:
        return raw[:place] + rng.randbytes(3) + raw[place:], f"noise at {place}"
    if kind == 2:
        return raw[:place] + b"1e999" + raw[place + 5 :], f"1e999 at {place}"
    if kind == 3:
        return raw.replace(b"null", b"[" * _DEEP + b"]" * _DEEP, 1), "null is deep"
    return raw.replace(b'"', b'"\\u202e', 1), "an escape"
