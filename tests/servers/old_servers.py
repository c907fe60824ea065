"""Servers of other versions, each installed once into an environment of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import venv
from pathlib import Path
from typing import Any

import uv

_HERE = Path(__file__).parent
_CACHE = _HERE.parent.parent / ".cache" / "servers"
#: The version that the project's own environment has.
CURRENT = "0.22.5"
VERSIONS = ["0.20.29", "0.21.5", CURRENT]
TOKEN = "versions-token"


class OldServer:
    """A server of one version: installed and started in the background, frozen, on loopback.

    Args:
        version: One of `VERSIONS`.
    """

    def __init__(self, version: str) -> None:
        self.version = version
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._folder = Path(tempfile.mkdtemp(prefix=f"dstack-{version}-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._failure: BaseException | None = None
        self._stopped = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._prepare, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def launched(self) -> bool:
        """Whether the process runs; raises what kept it from it."""
        if self._failure is not None:
            raise self._failure
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"dstack {self.version} ended:\n{self._log.read_text()[-3000:]}")
        return self._process is not None

    def stop(self) -> None:
        """Ends the process and removes what it wrote."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.kill()  # nothing of it is kept, so nothing need be put in order
                self._process.wait(30)
        self._thread.join(60)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _prepare(self) -> None:
        try:
            home = Path(sys.prefix) if self.version == CURRENT else _installed(self.version)
            self._start(home / "bin" / "dstack")
        except BaseException as error:  # `launched` tells it in the test's thread
            self._failure = error

    def _start(self, program: Path) -> None:
        environment: dict[str, Any] = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "DSTACK_SERVER_DIR": str(self._folder / "server"),
            "DSTACK_SERVER_ADMIN_TOKEN": TOKEN,
            "DSTACK_SERVER_BACKGROUND_PROCESSING_DISABLED": "1",
        }
        with self._lock, self._log.open("wb") as log:
            if self._stopped:
                return
            self._process = subprocess.Popen(
                [program, "server", "--host", "127.0.0.1", "--port", str(self.port), "-y"],
                env=environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )


def _installed(version: str) -> Path:
    """The environment with that version; made if it is missing or its list of versions changed."""
    home = _CACHE / version
    wanted = _HERE / "versions" / f"{version}.txt"
    done = home / "installed.txt"
    if done.is_file() and done.read_bytes() == wanted.read_bytes():
        return home
    venv.create(home, clear=True)
    python = home / "bin" / "python"
    command = [
        *(uv.find_uv_bin(), "pip", "install", "--quiet", "--python", str(python)),
        *("-c", str(wanted), f"dstack[server]=={version}"),
    ]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    if outcome.returncode:
        raise RuntimeError(f"dstack {version} could not be installed:\n{outcome.stderr[-3000:]}")
    shutil.copyfile(wanted, done)
    return home
