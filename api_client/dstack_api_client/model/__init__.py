"""What is known of a project: values without a server, a clock or a terminal."""
