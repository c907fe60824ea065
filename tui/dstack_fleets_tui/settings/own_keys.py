"""Keys of the user's own, from a file beside the settings, each checked before it counts.

A file names bindings by their ids: the commands, and what lists, documents and logs listen to.
What can't be used is a notice, and the binding keeps its keys: nobody is left without a way.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from textual.binding import Binding
from textual.keys import Keys, _character_to_key

from dstack_api_client.private_folder import is_missing
from dstack_api_client.text import one_line
from dstack_fleets_tui.actions import actions, key_names, places

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

#: Keys that have their meaning everywhere, and ones that terminals send for others.
_RESERVED = {
    "enter": "it opens or accepts",
    "escape": "it leads back",
    "ctrl+c": "it copies or quits",
    "ctrl+q": "it quits",
    "ctrl+p": "it opens the palette",
    "ctrl+h": "terminals send it for backspace",
    "ctrl+i": "terminals send it for tab",
    "ctrl+j": "terminals send it for enter",
    "ctrl+m": "terminals send it for enter",
}
#: Actions that keep their keys: the first is of the rows themselves, the second of every screen.
_KEPT = {"open": "table.activate is what enter does", "back": "esc leads back everywhere"}
#: What the fields of an editor take.
_TYPED = frozenset("0123456789") | {"minus", "full_stop", "tab", "shift+tab", "backspace", "space"}
_ARROWS = frozenset({"up", "down", "left", "right"})
_MODIFIERS = ("ctrl", "alt", "shift", "super")


class OwnKeys(NamedTuple):
    """The keys that count.

    Attributes:
        keys: By the id of a binding, its keys as Textual names them.
        notices: What is wrong in the file, each a sentence or two.
    """

    keys: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    notices: Sequence[str] = ()


#: No keys of one's own.
USUAL_KEYS = OwnKeys()


def keys_path(settings: Path) -> Path:
    """Where the file is looked for.

    Args:
        settings: The settings file.
    """
    return settings.with_name("keys.yml")


def read_keys(path: Path) -> OwnKeys:
    """Reads the file; none is as good as an empty one."""
    if is_missing(path):
        return USUAL_KEYS
    from dstack_api_client.yaml_text import YamlError, read_yaml_file

    name = one_line(str(path))
    try:
        data = read_yaml_file(path, names_once=True)
    except OSError as error:
        return OwnKeys(
            notices=[f"{name} can't be read: {error.strerror}. The default keys are used."]
        )
    except YamlError as error:
        return OwnKeys(notices=[f"{name} is {error}. The default keys are used."])
    if data is None:
        return OwnKeys()
    if not isinstance(data, dict):
        return OwnKeys(
            notices=[f"{name} is not a list of `binding: key`. The default keys are used."]
        )
    keys, wrong = checked({str(key): value for key, value in data.items()})
    return OwnKeys(keys, [f"{name}: {each}" for each in wrong])


def bindings() -> dict[str, str]:
    """The ids of the bindings that take keys of the user's own, and what each does."""
    about = {name: " or ".join(map(_told, keys)) for name, keys in _of_widgets().items()}
    about.update({action.id: action.help for action in actions.ACTIONS})
    return {
        name: text
        for name, text in about.items()
        if name not in _KEPT and not name.startswith("choices.")
    }


def checked(wanted: Mapping[str, object]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """The keys that can be used, and a sentence for each binding that keeps its own.

    Args:
        wanted: By the id of a binding, a key or several.
    """
    usual = {**_of_widgets(), **{each.id: each.keys for each in actions.ACTIONS}}
    found: dict[str, tuple[str, ...]] = {}
    wrong: list[str] = []
    for name, value in wanted.items():
        binding = name if name in usual else name.replace("-", "_")
        try:
            if binding in found:
                raise ValueError("it appears twice; the first one counts.")
            found[binding] = _keys_of(binding, value, usual)
        except ValueError as error:
            wrong.append(f"{one_line(name)}: {error}")
    while True:
        clash = next(_clashes(found, usual), None)
        if clash is None:
            return found, wrong
        binding, key, other, screen = clash
        del found[binding]
        wrong.append(
            f"{binding}: {_told(key)} is the key of {other} on {screen}. The default key is used."
        )


@cache
def _widgets() -> Mapping[type, Sequence[str]]:
    """The widgets with bindings of their own, and the screens that they are on."""
    from dstack_widgets.inputs.choices import Choices
    from dstack_widgets.logs.log_lines import LogLines
    from dstack_widgets.panels.facts import Panel
    from dstack_widgets.table.live_table import LiveTable

    return {
        LiveTable: places.TABLES,
        Panel: (*places.DETAILS, places.CHARTS),
        LogLines: (places.LOGS,),
        Choices: (places.PLAN,),
    }


def _of_widgets() -> dict[str, tuple[str, ...]]:
    return {binding: keys for widget in _widgets() for binding, keys in _bound(widget)}


def _bound(widget: type) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The ids of a widget's bindings with their keys."""
    for binding in widget.BINDINGS:  # type: ignore[attr-defined]
        assert isinstance(binding, Binding)
        assert binding.id is not None
        yield binding.id, tuple(binding.key.split(","))


def _keys_of(binding: str, value: object, usual: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The keys that a binding is to have.

    Raises:
        ValueError: It can't have them; the text says why.
    """
    if binding not in usual or binding.startswith("choices."):
        near = get_close_matches(binding, usual, 1)
        like = f" Did you mean {near[0]}?" if near else " docs/keys.md lists them."
        raise ValueError(f"there is no such binding.{like}")
    if binding in _KEPT:
        raise ValueError(f"it keeps its keys: {_KEPT[binding]}.")
    texts = [value] if isinstance(value, str | int) else value
    if not isinstance(texts, list) or not texts:
        raise ValueError("expected a key, or a list of keys. The default key is used.")
    keys = tuple(map(_key, texts))
    action = actions.BY_ID.get(binding)
    for text, key in zip(map(str, texts), keys, strict=True):
        if key in _RESERVED:
            raise ValueError(
                f"{_told(key)} is reserved: {_RESERVED[key]}. The default key is used."
            )
        if action is None or key in action.keys:
            continue
        if action.writes and len(text) == 1 and not text.isupper():
            raise ValueError(
                f"it changes something, and {text} is pressed too easily. Use a capital letter,"
                " ctrl+, alt+ or a function key. The default key is used."
            )
        fields = not action.screens or set(action.screens) & set(places.EDITORS)
        if fields and key in _TYPED | _ARROWS:
            raise ValueError(f"the fields of an editor need {_told(key)}. The default key is used.")
    return tuple(dict.fromkeys(keys))


def _key(value: object) -> str:
    """A key as Textual names it, from a sign or a name."""
    text = str(value)
    if len(text) == 1 and text.isprintable() and not text.isspace():
        return _character_to_key(text)
    *before, last = text.split("+")
    known = last in {each.value for each in Keys} or (len(last) == 1 and last.isalnum())
    named = not before and (text in key_names.KEY_NAMES or text in Keys.__members__.values())
    each_once = len({*before}) == len(before) and all(each in _MODIFIERS for each in before)
    # What stands in angle brackets is not a key, but how Textual calls other input.
    if text.startswith("<") or not (named or (known and each_once)):
        raise ValueError(f"{one_line(text)} is not a key. Write a sign, f5, ctrl+g or alt+x.")
    if "shift" in before and len(last) == 1 and last.isalpha():
        signs = "+".join([*(each for each in before if each != "shift"), last.upper()])
        raise ValueError(f"terminals send {signs} for {text}. Write that.")
    return text


def _clashes(
    own: Mapping[str, tuple[str, ...]], usual: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, str, str, str]]:
    """Bindings of the file, the last first, with a key that another one has on some screen."""
    keys = {**usual, **own}
    of_screens = {
        screen: [
            *(each.id for each in actions.on_screen(screen)),
            *(
                binding
                for widget, screens in _widgets().items()
                if screen in screens
                for binding, _ in _bound(widget)
            ),
        ]
        for screen in sorted({screen for each in actions.ACTIONS for screen in each.screens})
    }
    for binding in reversed([*own]):
        for screen, others in of_screens.items():
            if binding in others:
                for other in others:
                    both = set(keys[binding]) & set(keys[other])
                    if other != binding and both and not _apart(binding, other):
                        yield binding, min(both), other, screen


def _apart(one: str, other: str) -> bool:
    """Whether two bindings are of widgets of which only one has the keys at a time."""
    kinds = {each.partition(".")[0] for each in (one, other)}
    return len(kinds) > 1 and all(each not in actions.BY_ID for each in (one, other))


def _told(key: str) -> str:
    return key_names.key_name(key)
