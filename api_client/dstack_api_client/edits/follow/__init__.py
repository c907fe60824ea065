"""What becomes of a change until it has settled."""

__all__ = ["following", "following_drains", "following_ends", "following_fleets"]
