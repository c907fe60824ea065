"""Moving replicas that run: to the minimums of lanes, from other services, and on request."""

__all__ = ["moves", "rebalancing", "reclaiming"]
