"""Stylesheets parsed once for all apps of a process: it takes a quarter of a short test."""

from __future__ import annotations

from typing import Any

from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet

_parse = Stylesheet._parse_rules
_parsed: dict[tuple[Any, ...], list[RuleSet]] = {}


def share_parsed() -> None:
    """Keeps what Textual has parsed by text and variables; it keeps it for each app itself."""
    Stylesheet._parse_rules = _shared  # type: ignore[method-assign]


def _shared(self: Stylesheet, *source: Any, **more: Any) -> list[RuleSet]:
    key = (*source, *more.items(), *self._variables.items())
    if key not in _parsed:
        _parsed[key] = _parse(self, *source, **more)
    return _parsed[key]
