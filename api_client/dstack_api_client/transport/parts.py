"""Answers with lists of records in them, of which some can't be read: the others can without."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from dstack_api_client.text import clean_json
from dstack_api_client.transport.failures import NOT_DECODED


class LeftOut(NamedTuple):
    """A record that was left out."""

    list: str
    """The name of the list that it was in."""
    raw: bytes
    error: Exception


def without_unreadable(
    body: bytes, parts: Mapping[str, Callable[[bytes], Any]]
) -> tuple[bytes, list[LeftOut]]:
    """Takes what can't be read out of the lists of an answer.

    Args:
        body: The answer, an object.
        parts: The names of its lists, and what decodes a record of each.

    Returns:
        The answer without them, and what was left out; nothing where it is no such answer.
    """
    left_out: list[LeftOut] = []
    try:
        whole: dict[str, Any] = msgspec.json.decode(clean_json(body), type=dict[str, msgspec.Raw])
        for name, decode in parts.items():
            if name in whole:
                whole[name] = list(_readable(name, whole[name], decode, left_out))
        return msgspec.json.encode(whole), left_out
    except NOT_DECODED:
        return body, []


def _readable(
    name: str, items: msgspec.Raw, decode: Callable[[bytes], Any], left_out: list[LeftOut]
) -> Iterator[msgspec.Raw]:
    """The records of a list that can be read; notes the others."""
    for raw in msgspec.json.decode(items, type=list[msgspec.Raw] | None) or ():
        try:
            decode(bytes(raw))
        except NOT_DECODED as error:  # noqa: PERF203 - of each record
            left_out.append(LeftOut(name, bytes(raw), error))
        else:
            yield raw
