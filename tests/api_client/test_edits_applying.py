"""What became of a request, told from what is there afterwards, without a server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from dstack_api_client.edits.base.base import Base
from dstack_api_client.edits.base.merging import ConflictError
from dstack_api_client.edits.base.outcome import Check, UnknownOutcomeError
from dstack_api_client.edits.errors import EditError, NotAppliedError, ReplacedError
from dstack_api_client.edits.plan.applying import confirmed, judged
from dstack_api_client.transport.client import Client
from tests.builders.service_edits import base, edit

BEFORE = base()
SENT = edit().with_priority(7).spec
OTHER = edit().with_priority(9).spec


def check(*, answered: bool = True) -> Check:
    return Check(BEFORE, SENT, SENT, answered=answered)


def there(**changes: Any) -> Base:
    """What is there afterwards; by default just what was sent."""
    return replace(BEFORE, **{"spec": SENT, "deployment": 4, **changes})


def test_what_was_sent_is_there() -> None:
    assert judged(check(), there())
    assert judged(replace(check(), sent=OTHER), there()), "as the server said it would store it"
    assert judged(replace(check(), expected=OTHER), there()), "as it was sent"


def test_nothing_has_changed_yet() -> None:
    assert not judged(check(), BEFORE)


@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize(
    ("now", "words"),
    [
        (there(id="another"), "ended at the moment of the change"),
        (there(deployment=5), "2 deployments came at once"),
    ],
)
def test_something_else_is_there(now: Base, words: str, answered: bool) -> None:
    with pytest.raises(ReplacedError, match=words):
        judged(check(answered=answered), now)


def test_another_spec_is_there() -> None:
    """After an answer both were applied; without one the other came first."""
    with pytest.raises(ReplacedError, match="its spec is another one now"):
        judged(check(), there(spec=OTHER, deployment=5))
    with pytest.raises(ConflictError, match="Somebody else changed chat") as conflict:
        judged(check(answered=False), there(spec=OTHER))
    assert conflict.value.three_way is not None


def test_a_fleet_has_no_deployments() -> None:
    fleet = replace(BEFORE, target=replace(BEFORE.target, kind="fleet"), deployment=0)
    now = replace(fleet, spec=SENT)
    assert judged(replace(check(), base=fleet), now)
    with pytest.raises(ReplacedError, match="started it again") as replaced:
        judged(replace(check(), base=fleet), replace(now, id="another"))
    assert replaced.value.hint.startswith("Delete it")


def _answers(*found: Base) -> Callable[[httpx.Request], httpx.Response]:
    """The service as it is from read to read; the last one stays."""
    left = list(found)

    def answer(request: httpx.Request) -> httpx.Response:
        now = left.pop(0) if len(left) > 1 else left[0]
        whole = {"id": now.id, "status": now.status, "deployment_num": now.deployment}
        return httpx.Response(200, json={**whole, "run_spec": now.spec})

    return answer


def _away(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("it is away", request=request)


async def _confirmed(
    answer: Callable[[httpx.Request], httpx.Response], *, answered: bool, **limits: float
) -> tuple[Base, int]:
    """What is there in the end, and how often it was waited for."""
    waited = 0

    async def sleep(_: float) -> None:
        nonlocal waited
        waited += 1

    span = {"limit": 90.0, "late": 10.0, **limits}
    async with Client("http://server", "t", transport=httpx.MockTransport(answer)) as client:
        return await confirmed(client, check(answered=answered), sleep=sleep, **span), waited


@pytest.mark.parametrize("answered", [True, False])
async def test_a_server_that_stays_away_leaves_it_unknown(answered: bool) -> None:
    with pytest.raises(UnknownOutcomeError, match="whether it was made is not known"):
        await _confirmed(_away, answered=answered, limit=0)


@pytest.mark.parametrize(
    ("answered", "error", "words"),
    [
        (True, ReplacedError, "but it is as before"),
        (False, NotAppliedError, "no answer came; it is as it was before"),
    ],
)
async def test_what_does_not_turn_up_was_not_applied(
    answered: bool, error: type[EditError], words: str
) -> None:
    with pytest.raises(error, match=words):
        await _confirmed(_answers(BEFORE), answered=answered, late=0)


async def test_what_turns_up_late_was_applied() -> None:
    now, waited = await _confirmed(_answers(BEFORE, BEFORE, there()), answered=False)
    assert (now.deployment, now.spec, waited) == (4, SENT, 2)
