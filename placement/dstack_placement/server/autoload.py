"""Importing this module prepares a process that runs a dstack server of its own making.

It is for launchers that start dstack's `server` command themselves; it must be imported first.
"""

from __future__ import annotations

from dstack_placement.server.command import prepare

prepare(server=True)
