"""The scenarios that come with the simulator, as YAML files."""
