"""What would be left if some capacity went, or more replicas were asked for."""

from dstack_api_client.whatif.drain_price import DrainPrice, price_of_drain
from dstack_api_client.whatif.loss import Loss, NoSuchPlaceError, loss_of, places_of
from dstack_api_client.whatif.outcome import Broken, Ending, Outcome, Start, what_if
from dstack_api_client.whatif.playing import GivingWay
from dstack_api_client.whatif.survival import Survival, not_survived

__all__ = [
    "Broken",
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
    "places_of",
    "price_of_drain",
    "what_if",
]
