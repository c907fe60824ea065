"""What is known about a dstack server, without a terminal."""
