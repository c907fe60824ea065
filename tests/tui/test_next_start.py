"""When a service that waits for its schedule starts."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from dstack_fleets_tui.tables import services
from dstack_fleets_tui.words import words
from tests.builders.projects import service

AT = datetime(2026, 12, 1, 9, 0, tzinfo=timezone(timedelta(hours=1)))
SCHEDULE = {"configuration": {"schedule": {"cron": "0 8 * * *"}}}


def test_it_is_told_in_utc_as_the_schedule_counts() -> None:
    waits = service([], status="pending", spec=SCHEDULE, starts_at=AT)
    assert words.next_start(waits) == "starts 2026-12-01 08:00 UTC"
    assert "starts 2026-12-01 08:00 UTC" in services.summary(waits)


def test_nothing_is_told_of_one_that_runs_or_has_no_schedule() -> None:
    assert not words.next_start(service([], spec=SCHEDULE, starts_at=AT))
    assert not words.next_start(service([], status="pending", starts_at=AT))
    assert not words.next_start(service([], status="pending", spec=SCHEDULE))
