"""`--log-file`: what was requested and said, and no secret."""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_fleets_tui.cli.main import main
from dstack_fleets_tui.settings import log_file
from dstack_fleets_tui.words.faults import line_of
from tests.servers.fake_server import FakeServer


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """The loggers as they were."""
    yield
    log_file._FORMAT.known.clear()
    log_file.close_log()
    for name in log_file._OURS:
        logger = logging.getLogger(name)
        logger.propagate = True
        logger.setLevel(logging.NOTSET)


async def test_requests_and_messages_are_there_and_secrets_are_not(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log_file.open_log(path, "0.1.0", {"TERM": "xterm", "DSTACK_TOKEN": "secret-token"})
    log_file.hide("secret-token")
    async with FakeServer().client() as client:
        await client.projects.get("main")
    logging.getLogger("dstack_fleets_tui.host.host").info(
        "said: secret-token and HF_TOKEN=hf_abcdef"
    )
    logging.getLogger("dstack_fleets_tui.host.host").info("two\nlines \x1b[31m")
    try:
        raise KeyError("hf_abcdef")
    except KeyError as error:
        line_of(error)
    text = path.read_text("utf-8")
    assert "version 0.1.0, Python 3." in text
    assert "TERM=xterm" in text
    assert "/get: 200, " in text
    assert "failed: KeyError in test_log_file.py" in text
    assert "secret-token" not in text
    assert "hf_abcdef" not in text
    assert "\x1b" not in text
    assert "two lines" in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_can_not_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", "fleets", "--log-file", str(tmp_path / "none" / "log")]) == 2
    assert "log can't be written: No such file or directory." in capsys.readouterr().err


def test_a_file_that_others_could_read_is_private_from_then_on(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    path.chmod(0o644)
    log_file.open_log(path, "0.1.0", {})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().startswith("before\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_a_full_disk_ends_the_log_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    log_file.open_log(Path("/dev/full"), "0.1.0", {})
    for _ in range(3):
        logging.getLogger("dstack_fleets_tui.host.host").info("HF_TOKEN=%s", "hf_abcdef")
    assert capsys.readouterr().err == ""
    said = log_file.close_log()
    assert said == "The log /dev/full ended before this did: No space left on device."
    assert log_file.close_log() == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_a_command_says_that_its_log_ended(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["get", "fleets", "--log-file", "/dev/full"]) == 3
    assert "The log /dev/full ended before this did: No space left on" in capsys.readouterr().err
