"""What the screens of an edit show and take, without any screen."""
