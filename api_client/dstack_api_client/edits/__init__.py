"""Edits of services and fleets: what changes, what it would do, and how it is carried out."""
