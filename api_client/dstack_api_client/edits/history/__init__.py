"""What a service was before, deployment by deployment, and the way back."""

__all__ = ["going_back", "past"]
