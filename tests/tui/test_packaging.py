"""What is built is whole: it is installed into an environment of its own, and run there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests import ROOT
from tests.servers.bare_terminal import terminal
from tests.waiting import until

PACKAGES = {
    "placement/dstack_placement",
    "api_client/dstack_api_client",
    "widgets/dstack_widgets",
    "tui/dstack_fleets_tui",
    "simulator/dstack_simulator",
}
UV = [sys.executable, "-m", "uv"]


def run(*command: str | Path, home: Path) -> str:
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment = {**own, "HOME": str(home), "XDG_CONFIG_HOME": str(home)}
    done = subprocess.run(
        list(map(str, command)), env=environment, cwd=home, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def kept_by_git() -> set[str]:
    """The files of the packages, by their paths in the checkout."""
    return set(run("git", "-C", ROOT, "ls-files", *sorted(PACKAGES), home=ROOT).splitlines())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution."""
    folder = tmp_path_factory.mktemp("built")
    run(*UV, "build", "-q", "--out-dir", folder, ROOT, home=folder)
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel alone, without any extra."""
    (wheel,) = built.glob("*.whl")
    home = tmp_path_factory.mktemp("installed")
    run(*UV, "venv", "-q", "--python", sys.executable, home / "venv", home=home)
    python = home / "venv" / "bin" / "python"
    install = (*UV, "pip", "install", "-q", "--python", python, "-c", ROOT / "constraints.txt")
    run(*install, wheel, home=home)
    return home / "venv"


@pytest.mark.slow
def test_all_files_are_in_the_wheel_and_the_source(built: Path) -> None:
    (wheel,), (source,) = built.glob("*.whl"), built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        told = Parser().parsestr(archive.read(metadata).decode())
    tracked = kept_by_git()
    packaged = {name for name in names if ".d" not in name.partition("/")[0]}
    assert packaged == {path.partition("/")[2] for path in tracked}
    assert any(name.endswith("/share/man/man1/dstack-fleets-tui.1") for name in names)
    assert set(told.get_all("Provides-Extra", ())) == {"demo", "editor", "server"}
    with tarfile.open(source) as archive_of_source:
        kept = {name.partition("/")[2] for name in archive_of_source.getnames()}
    assert kept >= tracked | {"README.md", "LICENSE", "constraints.txt", "pyproject.toml"}


@pytest.mark.slow
@pytest.mark.parametrize("extra", ["server", "demo"])
def test_the_extras_of_what_is_built_run(built: Path, tmp_path: Path, extra: str) -> None:
    (source,) = built.glob("*.tar.gz")
    venv = tmp_path / "venv"
    run(*UV, "venv", "-q", "--python", sys.executable, venv, home=tmp_path)
    python = venv / "bin" / "python"
    install = (*UV, "pip", "install", "-q", "--python", python, "-c", ROOT / "constraints.txt")
    run(*install, f"{source}[{extra}]", home=tmp_path)
    assert "Bind socket" in run(venv / "bin" / "dstack-fleets", "server", "--help", home=tmp_path)
    if extra == "demo":
        told = run(python, "-m", "dstack_simulator", "--help", home=tmp_path)
        assert "--scenario" in told


@pytest.mark.slow
def test_the_container_file_builds_the_same_wheel(built: Path, tmp_path: Path) -> None:
    """Its commands, without a container: what it leaves out of the source is not missed."""
    left_out = (ROOT / ".dockerignore").read_text("utf-8").split()
    tree = tmp_path / "source"
    for name in run("git", "-C", ROOT, "ls-files", home=ROOT).splitlines():
        if name.partition("/")[0] not in left_out:
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes((ROOT / name).read_bytes())
    run(*UV, "build", "-q", "--wheel", "--out-dir", tmp_path / "wheels", tree, home=tmp_path)
    (wheel,), (same,) = built.glob("*.whl"), (tmp_path / "wheels").glob("*.whl")
    assert zipfile.ZipFile(same).namelist() == zipfile.ZipFile(wheel).namelist()


def test_the_container_file_runs_what_there_is() -> None:
    text = (ROOT / "Containerfile").read_text("utf-8")
    entry = json.loads(re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)[0])
    assert entry[0] in entry_points(group="console_scripts").names
    assert "[server]" in text
    copied = re.findall(r"^COPY (?!--from)(\S+) ", text, re.MULTILINE)
    assert all((ROOT / name).exists() for name in copied)


@pytest.mark.slow
def test_what_is_built_runs_in_an_environment_of_its_own(installed: Path, tmp_path: Path) -> None:
    python, program = installed / "bin" / "python", installed / "bin" / "dstack-fleets-tui"
    assert run(program, "--version", home=tmp_path) == "dstack-fleets-tui 0.1.0\n"
    assert "whatif" in run(program, "--help", home=tmp_path)
    assert '"interval"' in run(program, "schema", home=tmp_path)
    assert (installed / "share" / "man" / "man1" / "dstack-fleets-tui.1").is_file()
    # The dashboard with all that it loads, and no more than what the wheel asks for.
    loads = "import dstack_fleets_tui.app.app, importlib.util as u; print(u.find_spec('dstack'))"
    assert run(python, "-c", loads, home=tmp_path) == "None\n"
    failed = subprocess.run([program, "demo"], capture_output=True, text=True, cwd=tmp_path)
    assert failed.returncode != 0
    assert "dstack-fleets-tui[demo]" in failed.stderr


@pytest.mark.slow
async def test_the_shipped_incident_plays_in_what_is_built(installed: Path, tmp_path: Path) -> None:
    """On a terminal, in an empty home, without a server and without what the demo needs."""
    folders = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"), str(tmp_path))
    python = str(installed / "bin" / "python")
    async with terminal("--replay", "incident", python=python, PYTHONPATH="", **folders) as at:
        await until(lambda: at.shows("gpu-reserved"), limit=60, what="the fleets")
        at.press(":at end\r2")
        await until(lambda: at.shows("DEGRADED"), limit=60, what="what went wrong")
        at.press("q")
        await until(lambda: at.process.poll() is not None, limit=30, what="the end")
        assert at.process.returncode == 0
