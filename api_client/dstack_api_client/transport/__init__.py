"""Requests to a dstack server, and its answers."""
