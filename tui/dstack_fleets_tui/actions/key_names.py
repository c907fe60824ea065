"""How keys are written for people."""

from __future__ import annotations

from collections.abc import Sequence

#: How a key is written for people.
KEY_NAMES = {
    "enter": "⏎",
    "escape": "esc",
    "slash": "/",
    "colon": ":",
    "question_mark": "?",
    "plus": "+",
    "minus": "-",
    "underscore": "_",
    "full_stop": ".",
    "comma": ",",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "shift+tab": "⇧tab",
    "ctrl+r": "^r",
    "ctrl+s": "^s",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
}
_ASCII_KEY_NAMES = {key: key for key in ("enter", "shift+tab", "left", "right", "up", "down")}


def key_name(key: str, *, ascii_only: bool = False) -> str:
    """Writes a key for people."""
    if ascii_only and key in _ASCII_KEY_NAMES:
        return _ASCII_KEY_NAMES[key]
    return KEY_NAMES.get(key, key)


def key_names(keys: Sequence[str], *, ascii_only: bool = False) -> str:
    """Writes keys that do one thing together: signs side by side, words with a blank between."""
    names = [key_name(key, ascii_only=ascii_only) for key in keys]
    return ("" if all(len(name) == 1 for name in names) else " ").join(names)
