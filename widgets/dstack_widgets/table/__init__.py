"""A table for lists that change all the time, and a small one of lines."""
