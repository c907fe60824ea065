"""What is written for people and programs outside of the dashboard: tables, plans, JSON objects."""

__all__ = [
    "colours",
    "cordons",
    "fleet_plans",
    "forms",
    "notices",
    "offers",
    "payload",
    "plans",
    "stopping",
    "streams",
    "table",
]
