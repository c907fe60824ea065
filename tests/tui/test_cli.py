"""The command line: what it loads, what it says, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dstack_api_client.connect.connection import ConfigError, Connection
from dstack_api_client.recordings.recorder import Recorder
from dstack_fleets_tui.cli import version
from dstack_fleets_tui.cli.main import main
from dstack_fleets_tui.headless import get as get_module
from dstack_fleets_tui.headless.looking import Asked, Look
from dstack_fleets_tui.settings.projects import Projects
from dstack_fleets_tui.settings.settings import Settings

pytestmark = pytest.mark.usefixtures("command_home")


@pytest.fixture
def nowhere(command_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing says where to connect."""
    monkeypatch.delenv("DSTACK_SERVER_URL")
    monkeypatch.delenv("DSTACK_TOKEN")


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Settings, Callable[[], Any]]]:
    """A dashboard that only notes what it was started with, on a terminal."""
    calls: list[tuple[Any, Settings, Callable[[], Any]]] = []

    def run(
        connection: Any,
        settings: Settings,
        *,
        again: Callable[[], Any],
        projects: Projects,
        recorder: Recorder | None,
        **_: object,
    ) -> int:
        calls.append((connection, settings, again))
        if recorder is not None:
            recorder.close()
        if not isinstance(connection, ConfigError):
            assert projects.connect("another").project == "another"  # type: ignore[union-attr]
        return 0

    monkeypatch.setitem(
        sys.modules, "dstack_fleets_tui.app.run", SimpleNamespace(run=run, play=None)
    )
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    return calls


def exits(*arguments: str) -> int:
    """The code of a command that leaves from within argparse."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert isinstance(caught.value.code, int)
    return caught.value.code


def python(code: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs code in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        **options,
    )


#: Runs commands one after another, and prints what is loaded after all of them.
LOADED = """
import sys
from dstack_fleets_tui.cli import version
from dstack_fleets_tui.cli.main import main
for command in sys.argv[1:]:
    try:
        main(command.split())
    except SystemExit:
        pass
print(*sys.modules, file=sys.stderr)
"""
HEAVY = {"textual", "rich", "httpx", "pydantic", "yaml", "asyncio", "msgspec"}
SCREEN = {"textual", "dstack", "dstack_widgets"}


@pytest.mark.parametrize(
    ("commands", "never", "reads"),
    [
        (["--help", "--version", "get --help", "apply --help"], HEAVY, False),
        (["--debug-settings"], {"textual", "httpx", "dstack"}, False),
        (
            ["get fleets"],
            SCREEN | {"dstack_api_client.edits", "dstack_api_client.problems.watch"},
            True,
        ),
        (
            [
                "get fleets",
                "get replicas -o yaml",
                "get problems",
                "plan chat --replicas 2",
                "undo chat --yes",
            ],
            SCREEN,
            True,
        ),
    ],
)
def test_only_what_is_needed_is_loaded(commands: list[str], never: set[str], reads: bool) -> None:
    loaded = set(python(LOADED, *commands).stderr.splitlines()[-1].split())
    assert "dstack_fleets_tui.cli.main" in loaded
    assert not {name for name in loaded if name in never or name.partition(".")[0] in never}
    assert ("dstack_api_client.feed.feed" in loaded) == reads


def test_help_has_examples_and_fits(capsys: pytest.CaptureFixture[str]) -> None:
    assert exits("--help") == 0
    text = capsys.readouterr().out
    for words in ("get", "demo", "examples:", "exit codes:", "--token-file", "DSTACK_TOKEN"):
        assert words in text
    assert max(map(len, text.splitlines())) <= 100
    assert "--token " not in text, "a token on the command line can be read by everyone"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exits("--version") == 0
    name, number = capsys.readouterr().out.split()[:2]
    assert name == "dstack-fleets-tui"
    assert number.count(".") == 2


COMMIT = "1234567890abcdef1234567890abcdef12345678"


@pytest.mark.parametrize(
    ("origin", "shown"),
    [
        (None, "0.1.0"),
        ("no json", "0.1.0"),
        ({"url": "https://pkg/x.whl", "archive_info": {}}, "0.1.0"),
        ({"url": "https://git/x", "vcs_info": {"commit_id": COMMIT}}, "0.1.0 (commit 1234567)"),
        ({"url": "file:///nowhere/at/all", "dir_info": {"editable": True}}, "0.1.0"),
    ],
)
def test_the_version_names_the_commit_where_it_is_not_a_release(
    monkeypatch: pytest.MonkeyPatch, origin: dict[str, Any] | str | None, shown: str
) -> None:
    text = json.dumps(origin) if isinstance(origin, dict) else origin
    installed = SimpleNamespace(version="0.1.0", read_text={"direct_url.json": text}.get)
    monkeypatch.setattr(version, "distribution", lambda name: installed)
    assert version.version_text() == shown


def test_the_version_of_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        who = ("-c", "user.name=t", "-c", "user.email=t@t")
        command = ["git", *who, "-C", str(tmp_path), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    file = tmp_path / "a file"
    file.write_text("one")
    git("add", ".")
    git("commit", "-q", "-m", "one")
    text = json.dumps({"url": tmp_path.as_uri(), "dir_info": {"editable": True}})
    installed = SimpleNamespace(version="0.1.0", read_text={"direct_url.json": text}.get)
    monkeypatch.setattr(version, "distribution", lambda name: installed)
    commit = git("rev-parse", "--short=7", "HEAD")
    assert version.version_text() == f"0.1.0 (commit {commit})"
    file.write_text("two")
    assert version.version_text() == f"0.1.0 (commit {commit}, changed)"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--interval", "0"],
        ["--interval", "soon"],
        ["--interval", "nan"],
        ["get"],
        ["get", "volumes"],
        ["get", "fleets", "-o", "xml"],
        ["get", "events", "--limit", "0"],
        ["get", "events", "--limit", "many"],
        ["get", "problems", "--severity", "fatal"],
        ["nonsense"],
        ["--token", "x"],
    ],
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert exits(*arguments) == 2
    assert "error:" in capsys.readouterr().err


def test_a_token_is_never_an_argument(capsys: pytest.CaptureFixture[str]) -> None:
    """`--token` must not pass as a shortened `--token-file` either."""
    assert exits("get", "--token", "secret", "fleets") == 2
    assert exits("get", "fleets", "--token=secret") == 2
    assert "unrecognized arguments: --token" in capsys.readouterr().err


@pytest.mark.usefixtures("nowhere")
def test_no_config(command_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", "fleets"]) == 3
    assert f"There is no dstack configuration at {command_home}/.dstack/config.yml." in (
        capsys.readouterr().err
    )


@pytest.mark.usefixtures("nowhere")
def test_debug_settings_without_a_connection(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", "--debug-settings", "fleets"]) == 3
    printed, said = capsys.readouterr()
    assert "interval" in printed
    assert "There is no dstack configuration" in said


def test_the_dashboard(ran: list[tuple[Any, Settings, Callable[[], Any]]]) -> None:
    assert main(["--project", "prod", "--ascii", "--interval", "7"]) == 0
    ((connection, settings, again),) = ran
    assert connection.project == "prod"
    assert (settings.ascii, settings.interval) == (True, 7.0)
    os.environ["DSTACK_SERVER_URL"] = "http://127.0.0.1:2"
    assert again().url == "http://127.0.0.1:2", "what was fixed meanwhile counts"
    assert again().project == "prod"


@pytest.mark.parametrize(
    ("locale", "plain"),
    [
        ({"LC_ALL": "C"}, True),
        ({"LC_ALL": "POSIX", "LANG": "en_US.UTF-8"}, True),
        ({"LC_ALL": "", "LC_CTYPE": "de_DE.ISO-8859-1"}, True),
        ({"LC_ALL": "", "LC_CTYPE": "", "LANG": "en_GB.utf8"}, False),
        ({"LC_ALL": "", "LC_CTYPE": "", "LANG": ""}, False),
        ({"LC_ALL": "C", "DSTACK_FLEETS_TUI_ASCII": "false"}, False),
    ],
)
def test_a_locale_without_unicode_is_drawn_in_ascii(
    ran: list[tuple[Any, Settings, Callable[[], Any]]],
    monkeypatch: pytest.MonkeyPatch,
    locale: dict[str, str],
    plain: bool,
) -> None:
    for name, value in locale.items():
        monkeypatch.setenv(name, value)
    assert main(["--project", "prod"]) == 0
    assert ran[0][1].ascii is plain


@pytest.mark.usefixtures("nowhere")
def test_the_dashboard_opens_without_a_connection(
    ran: list[tuple[Any, Settings, Callable[[], Any]]],
) -> None:
    assert main([]) == 0
    ((failure, _, _),) = ran
    assert isinstance(failure, ConfigError)


def test_a_dashboard_that_nobody_would_see_is_not_begun(
    capsys: pytest.CaptureFixture[str],
    ran: list[tuple[Any, Settings, Callable[[], Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is drawn on stderr: `2>errors.log` left the terminal empty."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    for arguments in (["--project", "prod"], ["--replay", "incident"]):
        assert main(arguments) == 1
        assert "The dashboard needs a terminal." in capsys.readouterr().err
    assert ran == []


def test_a_dashboard_is_recorded_and_replayed(
    capsys: pytest.CaptureFixture[str],
    ran: list[tuple[Any, Settings, Callable[[], Any]]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "it.jsonl.gz")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["--project", "prod", "--record", path]) == 0
    assert main(["--project", "prod", "--record", path]) == 1
    assert f"{path} is there already. Name another file." in capsys.readouterr().err
    assert main(["--replay", path]) == 1
    assert "ends before the first poll. There is nothing to play." in capsys.readouterr().err
    assert main(["--replay", path, "--record", path]) == 2
    assert "A replay is not recorded. Leave out --record." in capsys.readouterr().err
    assert len(ran) == 1


def test_the_dashboard_needs_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 1
    said = capsys.readouterr().err
    assert said.startswith("dstack-fleets-tui: The dashboard needs a terminal.")
    assert said.count("\n") == 1


@pytest.mark.usefixtures("nowhere")
def test_without_a_terminal_a_failure_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("asyncssh")
    became: list[tuple[str, list[str]]] = []

    class BecameError(BaseException):
        """In place of never coming back."""

    def execv(path: str, arguments: list[str]) -> None:
        became.append((path, arguments))
        raise BecameError

    monkeypatch.setattr(os, "execv", execv)
    with pytest.raises(BecameError):
        main(["demo", "--ascii", "--scenario", "burst", "--fault", "one", "--fault", "two"])
    ((path, arguments),) = became
    assert path == sys.executable
    split = arguments.index("--")
    assert arguments[:split] == [
        sys.executable, "-m", "dstack_simulator", "--scenario", "burst",
        "--fault", "one", "--fault", "two",
    ]  # fmt: skip
    assert arguments[split + 1 :] == [sys.executable, "-m", "dstack_fleets_tui", "--ascii"]


def test_the_demo_with_an_unknown_scenario() -> None:
    process = python(
        "from dstack_fleets_tui.cli.main import main; main(['demo', '--scenario', 'none'])"
    )
    assert process.returncode == 1
    assert "none" in process.stderr
    assert process.stderr.count("\n") == 1


def test_ctrl_c_is_quiet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def observe(connection: Connection, asked: Asked) -> Look:
        raise KeyboardInterrupt

    monkeypatch.setattr(get_module, "observe", observe)
    assert main(["get", "fleets"]) == 130
    assert capsys.readouterr() == ("", "")


SHOWN = """
import sys
from dstack_fleets_tui.cli import version
from dstack_fleets_tui.cli.main import main
from dstack_fleets_tui.headless import get
from tests.builders.sample_look import LOOK
async def observe(connection, asked):
    return LOOK
get.observe = observe
for command in sys.argv[1:]:
    if code := main(command.split()):
        sys.exit(code)
"""
ROOT = Path(__file__).parents[2]


def test_a_reader_that_goes_away() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        process = subprocess.run(
            [sys.executable, "-c", SHOWN, "get replicas -o json"],
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=180,
            check=False,
            cwd=ROOT,
        )
    finally:
        os.close(writer)
    assert process.returncode == 141
    assert process.stderr == b""


def test_output_that_can_hold_ascii_only() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    commands = ("get fleets", "get services -o json")
    shown = python(SHOWN, *commands, env=environment, cwd=ROOT)
    assert (shown.returncode, shown.stderr) == (0, "")
    table, brace, whole = shown.stdout.partition("{")
    assert "gpu-reserved" in table
    assert table.isascii()
    assert json.loads(brace + whole)["services"]
