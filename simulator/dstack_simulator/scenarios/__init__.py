"""Scenarios: what one may say, and those that come with the simulator, as YAML files."""

__all__ = ["asked_faults", "scenario"]
