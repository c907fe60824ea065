import pytest

from dstack_api_client.pacing import Allowance, Pace


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
    ("seconds", "size", "steps", "spread", "next_page", "last_page"),
    [
        (0.1, 100_000, 4, True, 15 / 4, 15),  # small: as often as it may
        (1.2, 11_000_000, 20, True, 15, 300),  # large: at least every five minutes
        (3.0, 100_000, 4, True, 15, 60),  # slow: a twentieth of the time
        (60.0, 100_000, 4, True, 75, 300),
        (0.1, 100_000, 4, False, 2, 2),  # no events: the server's time alone decides
        (3.0, 11_000_000, 4, False, 60, 60),
    ],
)
def test_when_everything_is_read_again(
    seconds: float, size: int, steps: int, spread: bool, next_page: float, last_page: float
) -> None:
    pace = Pace()
    assert pace.is_due(0.0)
    pace.finished(seconds, size, steps, 100.0, spread=spread)
    assert not pace.is_due(100.0 + next_page - 0.01)
    assert pace.is_due(100.0 + next_page + 0.01)
    if spread:
        now = 100.0
        for _ in range(steps - 1):
            now += next_page
            pace.stepped(now)
        assert not pace.is_due(100.0 + last_page - 0.01)
        assert pace.is_due(100.0 + last_page + 0.01)
