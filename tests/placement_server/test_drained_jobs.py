"""What becomes of a replica that dstack comes to end, by how and why it stops."""

from __future__ import annotations

from typing import Any

import pytest

from tests.servers.findings import findings


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `draining_jobs` found."""
    read: dict[str, Any] = findings(tmp_path_factory, "draining_jobs")
    return read


def test_a_drain_goes_on_on_another_server_and_ends_once(found: dict[str, Any]) -> None:
    drains = found["drains"]
    assert drains["came"] == [False, False, True, True]
    assert drains["told"] == ["Replica 3 drained in 41 s"]
    assert drains["specs read"] == 1, "once, however often it is looked at"
    assert drains["ended"] == [[3, True]] * 2, "and again where dstack did not get to it"


def test_it_is_listed_while_it_lasts(found: dict[str, Any]) -> None:
    drains = found["drains"]
    assert drains["shown"] == [3, 60, 2, False]
    assert drains["since"]
    assert drains["listed"] == [[3]]
    assert drains["left"] == 0


def test_a_limit_ends_it_and_off_leaves_it_to_dstack(found: dict[str, Any]) -> None:
    limits = found["limits"]
    assert limits["came"][:4] == [False, False, True, True]
    assert limits["ended"][:2] == [[1, True], [0, False]]
    assert limits["told"][:1] == ["Replica 1 stopped with 2 requests open after 6 s"]


def test_an_edit_that_shortens_the_limit_ends_what_is_under_way(found: dict[str, Any]) -> None:
    assert found["limits"]["shortened"] == [False, False, True]


def test_what_can_t_be_looked_at_ends_all_the_same(found: dict[str, Any]) -> None:
    limits = found["limits"]
    assert limits["came"][4:] == [False, False, True]
    assert limits["told"][1:] == [
        "Replica 2 stopped after 16 s: how many of its requests were open is not known"
    ]


def test_what_fails_or_ends_with_its_run_waits_for_nothing(found: dict[str, Any]) -> None:
    waits = found["waits for nothing"]
    assert set(waits["came"].values()) == {True}
    assert len(waits["came"]) == 6
    assert waits["noted"] == 0


def test_what_another_server_has_open_is_waited_for_unless_it_is_gone(
    found: dict[str, Any],
) -> None:
    elsewhere = found["elsewhere"]
    assert elsewhere["came"] == [False, False, True]
    assert elsewhere["shown"] == 4
    assert elsewhere["reported"] == [[2, 4], [4]]
    assert elsewhere["told"] == ["Replica 0 drained in 15 s"]


def test_a_gateway_keeps_a_replica_until_its_drain_has_ended(found: dict[str, Any]) -> None:
    gateway = found["gateway"]
    assert gateway["came"] == [False, False, True]
    assert gateway["kept"] == [[1], [1], [1], []], "before the drain began too"
    assert gateway["kept of a run that ends"] == []
    both = ["10.0.0.0", "10.0.0.1"]
    assert gateway["asked"] == [[both, True, True], [both, True, False], [both, True, False]]
    assert gateway["told"] == ["Replica 1 drained in 30 s"]
