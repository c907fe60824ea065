"""A real dstack server with emulated hosts and cloud."""
