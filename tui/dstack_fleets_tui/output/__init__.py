"""What is written for people and programs outside of the dashboard: tables, plans, JSON objects."""
