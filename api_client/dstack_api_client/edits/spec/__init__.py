"""A spec as it is edited: its fields by path, its groups and lanes, and files of configurations."""

__all__ = ["configuration_file", "defaults", "fields", "group_roles", "read_spec", "views"]
