"""What gateways know of services: where requests go, and how many there were."""

__all__ = ["gateway_rotation", "gateway_traffic"]
