"""A spec as it is edited: its fields by path, its groups and lanes, and files of configurations."""
