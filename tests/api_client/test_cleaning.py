import json
import sys
import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dstack_api_client.text import clean, clean_json, one_line


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain", "plain"),
        ("größe 大きさ 👍🏽", "größe 大きさ 👍🏽"),
        ("\x1b[31mred\x1b[0m", "\ufffd[31mred\ufffd[0m"),
        ("\x1b]0;title\x07", "\ufffd]0;title\ufffd"),
        ("a\x9b31mb", "a\ufffd31mb"),
        ("user\u202egnp.exe", "user\ufffdgnp.exe"),
        ("zero\u200bwidth\ufeff", "zero\ufffdwidth\ufffd"),
        ("two\r\nlines\tand a tab", "two\nlines\tand a tab"),
        ("over\rwritten", "over\ufffdwritten"),
        ("\x7f", "\ufffd"),
    ],
)
def test_what_harms_a_terminal_is_replaced(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_no_control_or_format_character_gets_through() -> None:
    left = [
        f"U+{number:04X}"
        for number in range(sys.maxunicode + 1)
        if unicodedata.category(chr(number)) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        and chr(number) not in "\n\t"
        and clean(chr(number)) != "\ufffd"
    ]
    assert left == []


def test_one_line_joins_lines_and_trims() -> None:
    assert one_line(" first\n\n  second\tthird\n") == "first second third"


@given(st.text())
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    assert clean(clean(text)) == clean(text)
    assert one_line(one_line(text)) == one_line(text)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(_JSON, st.booleans())
def test_json_is_cleaned_in_every_text(value: object, ascii_only: bool) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert msgspec.json.decode(clean_json(raw)) == _cleaned(value)


def _cleaned(value: object) -> object:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {clean(key): _cleaned(item) for key, item in value.items()}
    return value


def test_clean_json_is_given_back_as_it_is() -> None:
    raw = '{"name": "größe", "commands": "a\\n\\"b\\""}'.encode()
    assert clean_json(raw) is raw
