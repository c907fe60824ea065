"""The commands that were typed, kept from one start to the next."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from dstack_api_client.edits.store.files import replace_whole
from dstack_api_client.secrets import has_secret
from dstack_api_client.text import one_line
from dstack_widgets.inputs.command_line import History

if TYPE_CHECKING:
    from pathlib import Path

#: Bytes of the file that are read: far more than it ever has.
_MOST_BYTES = 1 << 18
#: The longest command that is kept.
_LONGEST = 500


class KeptCommands(History):
    """The history of all command lines, in a file of the state folder, for its owner only.

    What looks like a secret is never written, nor what is typed after a space, as in a shell. A
    file that can't be read counts as none, and one that can't be written is worth no message.

    Args:
        folder: The state folder.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._path = folder / "commands"
        self._take(self._read())

    def add(self, text: str) -> None:
        """Keeps a command, beside those that another dashboard kept meanwhile."""
        command = text.strip()
        super().add(command)
        if text.startswith(" ") or len(command) > _LONGEST or has_secret(command):
            return
        kept = History(self._read())
        kept.add(command)
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_whole(self._path, "".join(f"{line}\n" for line in kept.lines).encode())

    def _read(self) -> list[str]:
        try:
            with self._path.open("rb") as file:
                text = file.read(_MOST_BYTES).decode("utf-8", "replace")
        except OSError:
            return []
        return [one_line(line) for line in text.splitlines() if line.strip()]
