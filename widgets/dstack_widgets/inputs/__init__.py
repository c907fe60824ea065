"""What people type into or choose from."""
