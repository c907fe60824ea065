"""Styles that are parsed once: Textual parses all of them again for each screen that opens."""

from __future__ import annotations

from textual.cache import LRUCache
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet

#: Sources of styles, one a widget or a screen; many times what there is.
_SOURCES = 1024
#: Themes whose styles are kept, for who tries several.
_THEMES = 4

_Parsed = LRUCache[tuple, list[RuleSet]]  # type: ignore[type-arg]
#: What was parsed, by the variables of a theme; rules are read, and never changed.
_PARSED: LRUCache[frozenset[tuple[str, str]], _Parsed] = LRUCache(_THEMES)


class ParsedStyles(Stylesheet):
    """Textual's styles, which are parsed again only for variables that were not there yet."""

    def __init__(self, *, variables: dict[str, str] | None = None) -> None:
        super().__init__(variables=variables)
        self._parse_cache = _parsed(self._variables)

    def set_variables(self, variables: dict[str, str]) -> None:
        """Takes the variables of a theme; the same again change nothing."""
        if variables != self._variables:
            self._parse_cache = LRUCache(_SOURCES)  # what clears it must not clear what is kept
            super().set_variables(variables)
            self._parse_cache = _parsed(variables)

    def reparse(self) -> None:
        """Parses what was not parsed with these variables."""
        self.parse()


def _parsed(variables: dict[str, str]) -> _Parsed:
    key = frozenset(variables.items())
    if key not in _PARSED:
        _PARSED[key] = LRUCache(_SOURCES)
    return _PARSED[key]
