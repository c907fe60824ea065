"""Lanes where dstack plans, applies and assigns: before a replica has an instance."""

__all__ = ["applying", "choosing", "planning", "reach_events"]
