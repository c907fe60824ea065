"""What screens and changes need of the app that they are in."""
