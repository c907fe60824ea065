"""What `whatif` prints."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.cli.main import main
from dstack_fleets_tui.headless.whatif import collect, text
from dstack_fleets_tui.names.selection import NoSuchNameError
from dstack_fleets_tui.names.whatif_question import Question, answer
from tests.builders.documented_keys import documented, walk
from tests.builders.two_fleets import contended, project, with_lanes

FULL = "own has no room, it is lost; spot has no room, 1 of at most 1 node exists, none is idle"


def _snapshot() -> Snapshot:
    return project(with_lanes(["own", "own", "spot"]), idle={"own": 1}, most={"own": 3})


def _asked(question: Question) -> tuple[str, dict[str, Any], bool]:
    snapshot = _snapshot()
    loss, outcomes = answer(snapshot, question)
    whole = collect(snapshot, question, outcomes)
    return text(snapshot, loss, outcomes), json.loads(json.dumps(whole)), whole["holds"]


def test_a_lost_fleet_row_by_row_and_why() -> None:
    said, whole, holds = _asked(Question(without=["own"]))
    assert [" ".join(line.split()) for line in said.splitlines()] == [
        "Without own: 3 instances and 2 replicas are lost.",
        "",
        "SERVICE NOW LOST STAYS STARTS WAITS $/H NOW $/H THEN OUTCOME",
        "chat 3 2 1 – 2 30.00 10.00 minimum broken",
        "",
        "chat: own holds 0 of its minimum of 2.",
        f"chat: 2 replicas wait: {FULL}.",
    ]
    assert not holds
    (service,) = whole["services"]
    assert service["replicas"] == {
        "now": 3, "lost": 2, "stay": 1, "start": 0, "wait": 2, "move": 0, "instance_unknown": 0,
    }  # fmt: skip
    assert service["broken_minimums"] == [
        {"pool": None, "fleet": "own", "replicas": 0, "min_replicas": 2}
    ]
    assert (service["ends"], service["price_per_hour_after"]) == (None, 10.0)


def test_every_key_is_documented() -> None:
    printed = set()
    for snapshot, lost in (
        (_snapshot(), "own"),
        (_snapshot(), "spot"),
        (contended("any", spot=2), "own/7"),
    ):
        question = Question(without=[lost])
        whole = collect(snapshot, question, answer(snapshot, question)[1])
        printed |= {path for path, _ in walk(whole) if not path.endswith("[]")}
    envelope = {"version", "project", "observed_at"}
    assert printed == {*documented()["whatif"], *envelope, "services"}


def test_where_a_replica_starts_is_told() -> None:
    said, whole, holds = _asked(Question(without=["spot"]))
    assert "1 in own" in said
    assert said.rstrip().endswith("holds")
    assert holds
    assert whole["services"][0]["starts"] == [
        {"fleet": "own", "group": "0", "replicas": 1, "room_known": True}
    ]


def test_what_concerns_no_service_says_so() -> None:
    said, whole, holds = _asked(Question(without=["own/50"]))
    assert said == "Without own/50: 1 instance and 0 replicas are lost.\nNo service is affected.\n"
    assert (whole["services"], holds) == ([], True)


def test_more_replicas_say_how_many_fit() -> None:
    said, whole, holds = _asked(Question(counts=["chat=9"]))
    (service,) = whole["services"]
    assert (service["replicas"]["start"], service["replicas"]["wait"], holds) == (1, 5, True)
    assert "chat: 5 replicas wait: " in said


@pytest.mark.parametrize(
    ("question", "message", "hint"),
    [
        (Question(["gpu"]), "There is no gpu in project main.", "It has: own, spot."),
        (Question(["region:x"]), "There is no region:x in", "It has: region:far, region:near"),
        (Question(["own/9"]), "There is no own/9 in project main.", "It has: own/0"),
        (Question(["own"], service="chta"), "There is no service chta", "Did you mean chat?"),
        (Question(counts=["chat"]), "chat does not ask for a number of replicas.", "SERVICE=N"),
        (Question(counts=["chat=-1"]), "chat=-1 does not ask for a number", "SERVICE=N"),
        (Question(counts=["chat=999999"]), "does not ask for a number", "at most 100,000"),
        (Question(counts=["chta=3"]), "There is no service chta", "Did you mean chat?"),
        (Question(counts=["chat/x=3"]), "has no group x.", "chat/0=N"),
    ],
)
def test_names_that_are_none_are_refused(question: Question, message: str, hint: str) -> None:
    with pytest.raises(NoSuchNameError) as refused:
        answer(_snapshot(), question)
    assert message in refused.value.message
    assert hint in refused.value.hint


def test_something_has_to_be_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["whatif"])
    assert left.value.code == 2
    assert "--without" in capsys.readouterr().err


def test_who_gives_way_to_what_a_loss_breaks_is_told_on_both_sides() -> None:
    snapshot = contended("any", spot=2)
    question = Question(without=["own/7"])
    loss, outcomes = answer(snapshot, question)
    said = text(snapshot, loss, outcomes)
    rows = [" ".join(line.split()) for line in said.splitlines()]
    assert "chat 3 0 3 – 0 30.00 30.00 gives way" in rows
    assert "vision 1 1 0 1 in own 0 10.00 10.00 holds" in rows
    assert rows[-2:] == [
        "chat: replica 0 gives way to vision in own and moves to spot.",
        "vision: replica 0 of chat gives way to its minimum in own and moves to spot.",
    ]
    chat, vision = collect(snapshot, question, outcomes)["services"]
    assert chat["gives_way"] == [{"replica": 0, "fleet": "own", "to": "spot", "for": "vision"}]
    assert vision["reclaims"] == [{"service": "chat", "replica": 0, "fleet": "own", "to": "spot"}]
