"""The process beside the server: emulated hosts and cloud, and the control API over them."""
