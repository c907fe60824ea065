"""Pictures of the dashboard, made from the running demo."""
