"""The edit of a fleet and a new one, with their plans."""

__all__ = ["fleet", "fleet_effects", "fleets", "host_keys", "hosts", "new_fleets"]
