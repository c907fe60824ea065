"""The server's own process: dstack's command with the emulated cloud, at a quick pace."""
