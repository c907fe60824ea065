"""What the user sets, and what is kept from one start to the next."""
