"""Values as plain data for a file that people hand on: what is secret is masked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

import msgspec

from dstack_api_client.secrets import MASK, is_secret_field, masked

#: Longest text whose masked form is remembered, and how many are.
_SHORT, _REMEMBERED = 120, 20_000


def plain(value: Any, *, but: Collection[str] = ()) -> Any:
    """A value as plain data: secrets masked, and fields left out that have their default.

    Args:
        value: A struct or a record, or what they are made of; a raw value is a spec.
        but: Names of its fields that are left out.
    """
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return _without_secret(value)
    if isinstance(value, msgspec.Raw):
        return _spec(bytes(value))
    kind: type[Any] = type(value)
    if issubclass(kind, msgspec.Struct) or is_dataclass(kind):
        return {
            name: plain(found)
            for name, default in _defaults(kind)
            if name not in but and (found := getattr(value, name)) != default
        }
    if isinstance(value, Mapping):
        return {plain(key): plain(found) for key, found in value.items()}
    if isinstance(value, frozenset):
        return sorted(map(plain, value))
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


@lru_cache
def _defaults(kind: type[Any]) -> tuple[tuple[str, Any], ...]:
    """The fields of a kind with their defaults."""
    if issubclass(kind, msgspec.Struct):
        return tuple((each.name, each.default) for each in msgspec.structs.fields(kind))
    return tuple((each.name, each.default) for each in fields(kind))


def _without_secret(text: str) -> str:
    return _remembered(text) if len(text) <= _SHORT else masked(text)


@lru_cache(_REMEMBERED)
def _remembered(text: str) -> str:
    return masked(text)


def _spec(raw: bytes) -> Any:
    """A spec as it came, where it holds no secret: it stays the same to the byte."""
    spec = msgspec.json.decode(raw)
    safe = _masked((), spec)
    return msgspec.Raw(raw) if safe == spec and b"\n" not in raw else safe


def _masked(path: tuple[str, ...], value: Any) -> Any:
    """A part of a spec.

    Args:
        path: The fields that lead to it.
        value: The part.
    """
    if isinstance(value, dict):
        return {masked(key): _masked((*path, key), each) for key, each in value.items()}
    if isinstance(value, list):
        # Of a list of `NAME=value` the names stay.
        return [_masked(path, each) for each in value]
    if value is None or not is_secret_field(path):
        return masked(value) if isinstance(value, str) else value
    name, found, _ = value.partition("=") if isinstance(value, str) else ("", "", "")
    return f"{masked(name)}={MASK}" if found and "env" in path else MASK
