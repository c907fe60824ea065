"""`python -m dstack_simulator`: what it prints, starts and returns."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from dstack_simulator import cli

_COMMAND = (sys.executable, "-m", "dstack_simulator")

#: A program that tells what it was started with.
_TELL = """
import json, os, sys, urllib.request
info = urllib.request.Request(os.environ["DSTACK_SERVER_URL"] + "/api/server/get_info", b"{}")
answer = json.load(urllib.request.urlopen(info))
names = ("DSTACK_SERVER_URL", "DSTACK_TOKEN", "DSTACK_PROJECT", "HOME")
print(json.dumps({"server": answer, **{name: os.environ[name] for name in names}}))
sys.exit(int(sys.argv[1]))
"""


def _run(*arguments: str, **given: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [*_COMMAND, *arguments], capture_output=True, text=True, timeout=90, **given
    )


def test_the_scenarios_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "burst",
        "demo",
        "empty",
        "lanes",
        "large",
    ]


@pytest.mark.e2e
def test_a_command_gets_the_server_and_returns_its_code() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    done = _run("--scenario", "empty", "--port", port, "--", sys.executable, "-c", _TELL, "7")
    assert done.returncode == 7, done.stderr
    # Nothing but what the command wrote: the terminal is its own.
    told = json.loads(done.stdout)
    assert done.stderr == ""
    assert told["server"] == {"server_version": "0.22.5"}
    assert told["DSTACK_SERVER_URL"] == f"http://127.0.0.1:{port}"
    assert told["DSTACK_PROJECT"] == "main"
    assert told["HOME"] == os.environ["HOME"]


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_without_a_command_it_stays_until_it_is_told(number: signal.Signals) -> None:
    with subprocess.Popen(
        [*_COMMAND, "--scenario", "empty"],
        stdout=subprocess.PIPE,
        text=True,
        # A program inherits that interrupts are ignored, as those begun in the background do.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        told = {}
        for line in process.stdout:
            name, _, value = line.strip().partition(" ")
            told[name] = value.strip()
            if line.startswith("Press Ctrl+C"):
                break
        assert told["url"].startswith("http://127.0.0.1:")
        assert told["project"] == "main"
        assert len(told["token"]) == 32
        folder = Path(told["logs"])
        assert folder.is_dir()
        process.send_signal(number)
        code = process.wait(30)
    assert code == (0 if number == signal.SIGINT else 128 + signal.SIGTERM)
    assert not folder.exists()


@pytest.mark.e2e
def test_a_taken_port_is_said_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = _run("--scenario", "empty", "--port", port)
    assert done.returncode == 1
    assert port in done.stderr
    assert "--port" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_missing_ssh_is_said_in_one_line(tmp_path: Path) -> None:
    done = _run("--scenario", "empty", env={**os.environ, "PATH": str(tmp_path)})
    assert done.returncode == 1
    assert "ssh was not found" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_missing_extra_is_said_in_one_line(tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    venv.create(bare, with_pip=False)
    # Everything that the project itself needs, and nothing of what the extra brings.
    site = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    own = next((bare / "lib").glob("python*/site-packages"))
    packages = (
        "yaml pydantic pydantic_core httpx httpcore anyio h11 certifi idna annotated_types"
        " typing_inspection sniffio"
    )
    for package in packages.split():
        if (site / package).exists():
            (own / package).symlink_to(site / package)
    (own / "typing_extensions.py").symlink_to(site / "typing_extensions.py")
    project = Path(cli.__file__).parents[1]
    done = subprocess.run(
        [bare / "bin" / "python", "-m", "dstack_simulator", "--scenario", "empty"],
        capture_output=True,
        text=True,
        timeout=180,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(project)},
    )
    assert done.returncode == 1
    assert "pip install 'dstack-fleets-tui[demo]'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_unknown_scenario_is_said_in_one_line() -> None:
    done = _run("--scenario", "dmeo")
    assert done.returncode == 1
    assert "There is no scenario 'dmeo'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_unknown_command_starts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--", "no-such-program"]) == 127
    assert "no-such-program" in capsys.readouterr().err
