"""What can go wrong in the add-on itself."""

from __future__ import annotations


class AddonError(Exception):
    """The add-on can't do its work; the message says what happened and what to do."""
