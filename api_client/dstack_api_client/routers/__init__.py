"""Routers of services and the workers they know."""
