"""What would be left if some capacity went, or more replicas were asked for."""

from .loss import Loss, NoSuchPlaceError, loss_of, places_of
from .outcome import Broken, Ending, Outcome, Start, what_if
from .survival import Survival, not_survived

__all__ = [
    "Broken",
    "Ending",
    "Loss",
    "NoSuchPlaceError",
    "Outcome",
    "Start",
    "Survival",
    "loss_of",
    "not_survived",
    "places_of",
    "what_if",
]
