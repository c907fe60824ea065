"""Real servers for tests: who starts them, and what is put on them."""
