"""What would be left if some capacity went, or more replicas were asked for."""

from .drained import DrainOutcome, DrainPrice, outcome_of_drain
from .loss import Loss, NoSuchPlaceError, loss_of, places_of
from .outcome import Broken, Ending, Outcome, Start, what_if
from .playing import GivingWay
from .survival import Survival, not_survived

__all__ = [
    "Broken",
    "DrainOutcome",
    "DrainPrice",
    "Ending",
    "GivingWay",
    "Loss",
    "NoSuchPlaceError",
    "Outcome",
    "Start",
    "Survival",
    "loss_of",
    "not_survived",
    "outcome_of_drain",
    "places_of",
    "what_if",
]
