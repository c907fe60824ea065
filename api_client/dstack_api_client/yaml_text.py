"""YAML that people write: read as JSON can hold it, and every slip a sentence with its line."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import yaml

from dstack_api_client.text import one_line

#: Bytes of the longest file that is read: none that people write is longer.
LONGEST = 1 << 20
#: Levels, and values with all that aliases repeat, that a text may have.
_DEEPEST, _MOST_VALUES = 64, 200_000
_TOO_MUCH = f"it expands to more than {_MOST_VALUES} values"
#: Numbers beyond these are none that a server takes.
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_STRING = "tag:yaml.org,2002:str"
_NULL = "tag:yaml.org,2002:null"
_MERGE = "tag:yaml.org,2002:merge"
_KINDS = {
    "tag:yaml.org,2002:int": "a whole number",
    "tag:yaml.org,2002:float": "a number",
    "tag:yaml.org,2002:bool": "true or false",
}


class YamlError(ValueError):
    """A text that can't be read.

    Attributes:
        problem: What is wrong, without the text itself, which may hold a token.
        line: In which line, from 1; None where that is not known.
    """

    def __init__(self, problem: str, line: int | None) -> None:
        self.problem = one_line(problem).rstrip(".")
        self.line = line
        where = f" in line {line}" if line is not None else ""
        super().__init__(f"not valid YAML{where}: {self.problem}")


def read_yaml_file(path: Path, *, names_once: bool = False) -> Any:
    """Reads a file; arguments and errors as of `read_yaml`.

    Raises:
        OSError: The file can't be read.
    """
    with path.open("rb") as file:
        text = file.read(LONGEST + 1)
    if len(text) > LONGEST:
        raise YamlError(f"it is longer than {LONGEST >> 20} MiB", None)
    return read_yaml(text, names_once=names_once)


def read_yaml(text: str | bytes, *, names_once: bool = False) -> Any:
    """Reads YAML into what JSON can hold: names are text, and so are dates.

    Args:
        text: The text.
        names_once: Whether a name that appears twice in a mapping is refused, instead of the last
            one being taken.

    Raises:
        YamlError: It can't be read.
    """
    try:
        loader = _Loader(text)
        loader.names_once = names_once
        try:
            data = loader.get_single_data()
        finally:
            loader.dispose()
        _refuse_endless(data)
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        lines = before.count(b"\n") if isinstance(before, bytes) else before.count("\n")
        raise YamlError("it has characters that no text can have", lines + 1) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = getattr(error, "problem", None) or "it can't be read"
        raise YamlError(str(problem), mark.line + 1 if mark is not None else None) from None
    except YamlError:
        raise
    except (ValueError, OverflowError):
        raise YamlError("it has an invalid escape", loader.line + 1) from None
    except RecursionError:
        raise YamlError("it is nested too deeply", None) from None
    return data


class _Loader(yaml.SafeLoader):
    """Reads what JSON can hold, and says where something else stands."""

    names_once = False

    _taken_in = 0
    """Values that mappings have taken in from others so far."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Reads a mapping; what it merges is not in it yet."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        if self.names_once:
            known = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                    if key.value in known:
                        raise _error(f"{one_line(key.value)} appears twice", key)
                    known.add(key.value)
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Takes in what `<<` names: few levels of it may stand for more than a machine holds."""
        for key, value in node.value:
            if key.tag != _MERGE:
                continue
            named = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for each in named:
                if isinstance(each, yaml.MappingNode):
                    self.flatten_mapping(each)
                    self._taken_in += len(each.value)
                if self._taken_in > _MOST_VALUES:
                    raise _error(_TOO_MUCH, key)
        super().flatten_mapping(node)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Makes a value, or says in which line there is none."""
        try:
            value = super().construct_object(node, deep=deep)
        except yaml.YAMLError:
            raise
        except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError):
            kind = _KINDS.get(node.tag, "what its tag says")
            raise _error(f"a value can't be read as {kind}; put it in quotes", node) from None
        if isinstance(value, int) and not _SMALLEST <= value <= _LARGEST:
            raise _error("a number is too large", node)
        if isinstance(value, float) and not math.isfinite(value):
            raise _error("a number has to be finite", node)
        if isinstance(value, str) and not value.isascii() and not _encodable(value):
            raise _error("a text has characters that no text can have", node)
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Makes a mapping; its names are text as they are written."""
        if isinstance(node, yaml.MappingNode):
            for key, _ in node.value:
                if key.tag == _NULL and key.value in ("", "~"):
                    raise _error("a name is missing before the colon", key)
                if isinstance(key, yaml.ScalarNode) and key.tag in _RESOLVED:
                    key.tag = _STRING
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping


#: What a name may look like that is text all the same.
_RESOLVED = frozenset({*_KINDS, _NULL, "tag:yaml.org,2002:timestamp"})


def _as_written(loader: yaml.SafeLoader, node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _error("a date is a single value", node)
    return str(node.value)


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _as_written)
for _name in ("binary", "set", "omap", "pairs"):
    _Loader.yaml_constructors.pop(f"tag:yaml.org,2002:{_name}")


def _error(problem: str, node: yaml.Node) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_endless(data: Any) -> None:
    """Makes sure that what aliases repeat comes to an end."""
    level, values = [data], 0
    for _ in range(_DEEPEST):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict | list):
                below.extend(each.values() if isinstance(each, dict) else each)
            if values + len(below) > _MOST_VALUES:
                raise YamlError(_TOO_MUCH, None)
        values += len(below)
        level = below
        if not level:
            return
    raise YamlError("it is nested too deeply", None)
