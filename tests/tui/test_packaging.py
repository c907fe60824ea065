"""What is built is whole: it is installed into an environment of its own, and run there."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from tests import ROOT

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
def test_what_is_built_runs_in_an_environment_of_its_own(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    venv = tmp_path / "venv"
    run(*UV, "venv", "-q", "--python", sys.executable, venv, home=tmp_path)
    python, program = venv / "bin" / "python", venv / "bin" / "dstack-fleets-tui"
    install = (*UV, "pip", "install", "-q", "--python", python, "-c", ROOT / "constraints.txt")
    run(*install, wheel, home=tmp_path)
    assert run(program, "--version", home=tmp_path) == "dstack-fleets-tui 0.1.0\n"
    assert "whatif" in run(program, "--help", home=tmp_path)
    assert '"interval"' in run(program, "schema", home=tmp_path)
    assert (venv / "share" / "man" / "man1" / "dstack-fleets-tui.1").is_file()
    # The dashboard with all that it loads, and no more than what the wheel asks for.
    loads = "import dstack_fleets_tui.app.app, importlib.util as u; print(u.find_spec('dstack'))"
    assert run(python, "-c", loads, home=tmp_path) == "None\n"
    failed = subprocess.run([program, "demo"], capture_output=True, text=True, cwd=tmp_path)
    assert failed.returncode != 0
    assert "dstack-fleets-tui[demo]" in failed.stderr
