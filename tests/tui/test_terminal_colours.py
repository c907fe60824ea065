"""The terminal's answer is understood, and never passes for keys."""

from __future__ import annotations

import pytest

from dstack_fleets_tui.terminal.terminal_colours import PATIENCE, QUESTION, Answers

_WHITE = "\x1b]11;rgb:ffff/ffff/ffff\x1b\\"
_DARK = "\x1b]11;rgb:1e/1e/2e\x07"


class Asked:
    """Answers that have been asked for, and a clock."""

    def __init__(self) -> None:
        self.found: list[float] = []
        self.written: list[str] = []
        self.time = 100.0
        self.answers = Answers(self.found.append, lambda: self.time)
        self.answers.ask(self.written.append)


def test_a_background_is_found():
    for text, light in ((_WHITE, True), (_DARK, False)):
        asked = Asked()
        assert asked.written == [QUESTION]
        assert asked.answers.take(f"j{text}k") == "jk"
        (luminance,) = asked.found
        assert (luminance > 0.9) is light


@pytest.mark.parametrize("answer", [_WHITE, _DARK])
def test_an_answer_in_two_pieces_is_no_key(answer):
    for cut in range(len(answer) + 1):
        asked = Asked()
        keys = asked.answers.take("j" + answer[:cut]) + asked.answers.take(answer[cut:] + "k")
        assert keys == "jk"
        assert len(asked.found) == 1


def test_a_late_answer_is_dropped():
    asked = Asked()
    asked.time += PATIENCE + 60
    assert asked.answers.take(_WHITE) == ""
    assert asked.found == []


def test_keys_are_held_back_for_a_moment_only():
    asked = Asked()
    assert asked.answers.take("j\x1b") == "j"
    assert asked.answers.rest() == "\x1b"
    assert asked.answers.take("\x1b[A") == "\x1b[A"
    assert asked.answers.take("\x1b]1") == ""
    assert asked.answers.rest() == "\x1b]1"
    asked.time += 60
    assert asked.answers.take("\x1b") == "\x1b"


def test_nothing_is_held_back_where_nothing_was_asked():
    answers = Answers(lambda luminance: pytest.fail("nobody asked"))
    assert answers.take("\x1b") == "\x1b"
    assert answers.take(_WHITE) == _WHITE
