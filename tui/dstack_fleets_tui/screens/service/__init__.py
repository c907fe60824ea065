"""One service, view by view."""
