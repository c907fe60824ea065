"""Placement on a stock dstack server: an add-on that runs in the server's own process.

`dstack-fleets` is dstack's command line with lanes in `fleets` (see `command`). All functions of
dstack that behave differently are in `overrides`; docs/server-addon.md lists them.
"""
