"""One replica: its log lines and what it uses."""
