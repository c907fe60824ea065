"""What keeps the screens up to date."""
