"""One snapshot out of what the server answers."""
