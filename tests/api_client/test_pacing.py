import pytest

from dstack_api_client.feed.budget import Allowance, Pace


def spent(size: int, seconds: float = 0.0) -> Allowance:
    allowance = Allowance()
    allowance.refill()
    allowance.spend(size, seconds)
    return allowance


def polls_until_free(allowance: Allowance) -> int:
    polls = 0
    while allowance.is_spent:
        allowance.refill()
        polls += 1
    return polls


def test_on_average_no_more_is_read_than_the_allowance() -> None:
    allowance, read = Allowance(), 0
    for _ in range(300):
        allowance.refill()
        while not allowance.is_spent:
            allowance.spend(100_000, 0.012)
            read += 100_000
    assert read / 300 < 50_000
    assert read / 300 > 25_000


def test_the_server_s_time_counts_as_the_bytes_do() -> None:
    assert spent(10, 0.01).is_spent is False
    assert spent(10, 1.0).is_spent is True


def test_what_is_very_large_is_read_now_and_then_all_the_same() -> None:
    assert polls_until_free(spent(100_000_000, 60.0)) <= 6


def test_nothing_is_saved_up() -> None:
    allowance = Allowance()
    for _ in range(100):
        allowance.refill()
    allowance.spend(40_000, 0.0)
    assert allowance.is_spent


@pytest.mark.parametrize(
    ("seconds", "size", "period"),
    [
        (0.1, 100_000, 15),  # small: as often as it may
        (1.2, 11_000_000, 300),  # large: at least every five minutes
        (3.0, 100_000, 60),  # slow: a twentieth of the time
        (0.1, 600_000, 60),  # many bytes in little time
        (60.0, 100_000, 300),
        (0.0, 0, 15),
    ],
)
def test_with_events_the_pages_of_a_full_read_are_spread_over_the_time(
    seconds: float, size: int, period: float
) -> None:
    pace, now = Pace(), 100.0
    pace.finished(size, seconds, now, spread=True)
    assert not pace.is_due(now + 4.9)
    now += 5.0
    for _ in range(10):
        assert pace.is_due(now)
        pace.stepped(size // 10, now)
        if size:
            assert not pace.is_due(now + (period - 5) / 10 - 0.01)
            now += (period - 5) / 10 + 0.001


@pytest.mark.parametrize(
    ("seconds", "size", "period"), [(0.1, 100_000, 2), (3.0, 11_000_000, 60), (60.0, 100, 300)]
)
def test_without_events_everything_is_read_when_the_server_s_time_allows(
    seconds: float, size: int, period: float
) -> None:
    pace = Pace()
    assert pace.is_due(0.0)
    pace.finished(size, seconds, 100.0, spread=False)
    assert not pace.is_due(100.0 + period - 0.01)
    assert pace.is_due(100.0 + period + 0.01)
