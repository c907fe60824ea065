"""How often a router is worth a look."""

from __future__ import annotations

from dstack_api_client.model.router import Source
from dstack_api_client.routers.observation import Look, Outcome

#: Seconds between two looks at the router of the service that is open, and at another one.
OPENED, OTHERS = 2.0, 20.0
#: The most that they grow to.
LONGEST = 30.0
#: The most for the service that is open, where looks fail.
_LONGEST_OF_OPENED = 10.0
#: Seconds between two looks at one of the others, for each router that there is.
_PER_ROUTER = 0.5
#: Bytes a second that the looks at one router may bring, and the share of time they may take.
_BYTES_PER_SECOND, _SHARE = 200_000, 0.25
#: Seconds from a failed look to the next, which double.
_AFTER_FAILURE = 4.0


def interval(*, opened: bool, routers: int, look: Look | None, failures: int) -> float:
    """Seconds until the next look: fewer for what is open, more for what is dear or fails.

    Args:
        opened: Whether its service is open.
        routers: How many routers are looked at in turns.
        look: The latest look that brought something.
        failures: Failed looks in a row that cost a login each.
    """
    seconds = OPENED if opened else max(OTHERS, _PER_ROUTER * routers)
    if look is not None and look.outcome is Outcome.LISTED:
        dear = look.size / _BYTES_PER_SECOND
        if look.source is Source.SSH:
            dear = max(dear, look.seconds / _SHARE)
        seconds = max(seconds, min(dear, LONGEST))
    if failures:
        wait = _AFTER_FAILURE * 2 ** min(failures - 1, 10)
        seconds = max(seconds, min(wait, _LONGEST_OF_OPENED if opened else LONGEST))
    return seconds
