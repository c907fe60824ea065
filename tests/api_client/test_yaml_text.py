"""YAML that people write, and what they write by mistake."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path
from typing import Any

import pytest

from dstack_api_client.connect import discovery
from dstack_api_client.connect.connection import ConfigError
from dstack_api_client.edits.errors import InvalidEditError
from dstack_api_client.edits.service import texts
from dstack_api_client.yaml_text import YamlError, read_yaml
from dstack_fleets_tui.settings import settings
from tests.builders.generation import SEED

WRONG = [
    ("a: 1\nb: 0x_", 2, "put it in quotes"),
    ("a: 1\n~: 1", 2, "a name is missing"),
    ("a:\n  : 1", 2, None),
    (f"a: 1\nb: {'9' * 5000}", 2, "put it in quotes"),
    (f"b: {2**63}", 1, "too large"),
    ("a: 1\nb: .inf", 2, "finite"),
    ("b: !!timestamp [1]", 1, None),
    ("b: !!binary aGk=", 1, None),
    ("b: !!python/object:os.system x", 1, None),
    ("b: !!int hello", 1, "put it in quotes"),
    ('a: 1\nb: "\\ud800"', 2, "no text can have"),
    ('a: 1\nb: "\\U00110000"', 2, "an invalid escape"),
    ('b: "\\UFFFFFFFF"', 1, "an invalid escape"),
    ("a: 1\nb: \x07", 2, "no text can have"),
    (b"a: 1\nb: \xff", 2, "no text can have"),
    ("a: [", 1, None),
    ("? [1]\n: 2", 1, None),
    ("a: &x [*x]", None, "nested too deeply"),
    ("[" * 600, None, "nested too deeply"),
    ("[" * 100 + "]" * 100, None, "nested too deeply"),
    ("a: &a [1,1,1,1,1,1,1,1]\n" + "".join(
        f"{new}: &{new} [{','.join([f'*{old}'] * 8)}]\n" for old, new in zip("abcdefg", "bcdefgh",
                                                                            strict=True)
    ), None, "expands to more"),
    ("a: &a {x: 1}\n" + "".join(
        f"{new}: &{new} {{<<: [{','.join([f'*{old}'] * 10)}]}}\n" for old, new in zip(
            "abcdefgh", "bcdefghi", strict=True)
    ), 7, "expands to more"),
    ("a: &a {x: 1, <<: *a}", None, "nested too deeply"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "problem"), WRONG, ids=range(len(WRONG)))
def test_what_can_not_be_read_is_a_sentence_with_its_line(
    text: str | bytes, line: int | None, problem: str | None
) -> None:
    with pytest.raises(YamlError) as caught:
        read_yaml(text)
    assert caught.value.line == line
    assert problem is None or problem in str(caught.value)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("day: 2024-99-99", {"day": "2024-99-99"}),
        ("day: 2024-01-02", {"day": "2024-01-02"}),
        ("{8080: a, yes: b, 1.5: c, null: d, 2024-01-01: e}",
         {"8080": "a", "yes": "b", "1.5": "c", "null": "d", "2024-01-01": "e"}),
        ("a: ~\nb: yes\nc: 0x10\nd: 1.5\ne: '1'",
         {"a": None, "b": True, "c": 16, "d": 1.5, "e": "1"}),
        ("a: &x {b: 1}\nc: {<<: *x, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
        ("a: &x {b: 1, c: 2}\nd: {<<: [*x, {b: 3}], c: 4}",
         {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 4}}),
        ("", None),
        ("name: 日本 \U0001f600", {"name": "日本 \U0001f600"}),
    ],
)  # fmt: skip
def test_what_can_be_read_is_what_json_can_hold(text: str, data: Any) -> None:
    assert read_yaml(text) == data


@pytest.mark.parametrize("text", [text for text, _, _ in WRONG], ids=range(len(WRONG)))
def test_a_slip_ends_neither_editor_nor_settings_nor_connection(
    text: str | bytes, tmp_path: Path
) -> None:
    raw = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(InvalidEditError):
        texts.parsed(raw.decode(errors="replace").replace("\ufffd", "\x00"))
    file = tmp_path / "file.yml"
    file.write_bytes(raw)
    (notice,) = settings.load({}, {}, file).notices
    assert "not valid YAML" in notice
    with pytest.raises(ConfigError, match="not valid YAML"):
        discovery.load(file)


def test_no_text_brings_another_error() -> None:
    print(f"DSTACK_FLEETS_TESTS_SEED={SEED}")  # noqa: T201
    rng = random.Random(SEED)
    signs = [
        "0x",
        "_",
        "~",
        ":",
        "-",
        "2024-99-99",
        "!!int",
        "!!set",
        "&a",
        "*a",
        "[",
        "]",
        "{",
        "}",
        "a",
        "1",
        ".",
        "e5",
        "'",
        "\\u",
        "<<",
        "?",
        "|",
        "%",
        "#",
    ]
    signs += ['"', " ", "\n", "\t"]
    for _ in range(3000):
        text = "".join(rng.choice(signs) for _ in range(rng.randrange(1, 14)))
        with contextlib.suppress(YamlError):
            read_yaml(text)
