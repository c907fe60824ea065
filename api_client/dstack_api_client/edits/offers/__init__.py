"""The server's own plan, and what it offers for which price."""
