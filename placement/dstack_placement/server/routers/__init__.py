"""Routers of services: what they say themselves, beside what dstack expects of them."""

__all__ = ["replica_tunnels", "router_answers", "router_looks", "router_view"]
