"""What people chose of how things are shown, kept from one start to the next."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from dstack_api_client.edits.store.files import replace_whole

if TYPE_CHECKING:
    from pathlib import Path


class Views(msgspec.Struct, frozen=True, omit_defaults=True):
    """The choices.

    Attributes:
        details: Whether details stand beside a list where there is room.
        beside: The part of the width that they have, in percent; None for the usual one.
        below: The part of the height that they have below the list.
        card: Whether the card of the demo was put away.
        theme: The name of the one that was chosen last.
    """

    details: bool = True
    beside: int | None = None
    below: int | None = None
    card: bool = False
    theme: str | None = None


class KeptViews:
    """The choices, in a file of the state folder.

    One that can't be read counts as none, and one that can't be written is chosen again next time:
    neither is worth a message.

    Args:
        folder: The state folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "views.json"
        self._views = self._read()

    @property
    def now(self) -> Views:
        """The choices as they are."""
        return self._views

    def change(self, **choices: Any) -> None:
        """Takes other choices, by their names; what another dashboard chose stays."""
        self._views = msgspec.structs.replace(self._views, **choices)
        kept = msgspec.structs.replace(self._read(), **choices)
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_whole(self._path, msgspec.json.encode(kept))

    def _read(self) -> Views:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Views)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return Views()
