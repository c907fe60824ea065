"""The history of commands, from one start to the next."""

from __future__ import annotations

from dstack_fleets_tui.settings.kept_commands import KeptCommands


def test_the_next_start_has_the_commands_of_the_last_and_of_another_dashboard(tmp_path):
    folder = tmp_path / "state"
    one, other = KeptCommands(folder), KeptCommands(folder)
    for line in ("services", "sort price", "services"):
        one.add(line)
    other.add("fleets")
    assert KeptCommands(folder).lines == ("sort price", "services", "fleets")
    assert (folder / "commands").stat().st_mode & 0o777 == 0o600


def test_the_file_is_bounded(tmp_path):
    kept = KeptCommands(tmp_path)
    for number in range(205):
        kept.add(f"open chat/{number}")
    assert len(kept.lines) == 200
    assert KeptCommands(tmp_path).lines[0] == "open chat/5"


def test_what_looks_like_a_secret_or_follows_a_space_is_not_written(tmp_path):
    kept = KeptCommands(tmp_path)
    told = ["filter hf_abcdefghijklmnopqrstuvwx", "drain token=abcdef", " fleets", "x" * 501]
    for line in told:
        kept.add(line)
    assert kept.lines == tuple(line.strip() for line in told), "until the dashboard ends"
    assert KeptCommands(tmp_path).lines == ()


def test_a_folder_that_refuses_is_worth_no_message(tmp_path):
    (tmp_path / "commands").mkdir()
    kept = KeptCommands(tmp_path)
    kept.add("fleets")
    assert kept.lines == ("fleets",)


def test_what_stands_in_the_file_is_cleaned(tmp_path):
    (tmp_path / "commands").write_bytes(b"sort \x1b[31mprice\n\n\xff\n")
    assert not any("\x1b" in line for line in KeptCommands(tmp_path).lines)
