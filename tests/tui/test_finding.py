"""What names that are typed mean, and what is offered for them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dstack_api_client.model.replica import ReplicaKey
from dstack_api_client.model.service import OtherRun
from dstack_fleets_tui.actions import actions, places
from dstack_fleets_tui.actions.commands import (
    ALIASES,
    CommandError,
    all_aliases,
    complete,
    parse,
    wrong_aliases,
)
from dstack_fleets_tui.names import finding
from dstack_fleets_tui.names.selection import NoSuchNameError
from tests.builders.snapshots import NOW, fleet, instance, replica, service, snapshot

NODE = ReplicaKey("r-train", 0, 1)
TRAIN = OtherRun("r-train", "train", "task", "ann", "running", NOW, "gpu", 1.0, (NODE,), "")
SHOT = replace(
    snapshot(
        fleets=[fleet(), fleet("both")],
        instances=[instance()],
        services=[
            service("chat-70b", replica_keys=(ReplicaKey("s-chat-70b", 5, 0),)),
            service("both", id="s-both"),
        ],
        replicas=[
            replica("chat-70b", 5),
            replica("train", 0, key=NODE, run_type="task", nodes=2),
        ],
    ),
    other_runs={"r-train": TRAIN},
)
SHOT = replace(
    SHOT, fleets={**SHOT.fleets, "f-gpu": replace(SHOT.fleets["f-gpu"], instance_ids=("i-gpu-0",))}
)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("chat-70b", "s-chat-70b"),
        ("gpu", "f-gpu"),
        ("main/gpu", "f-gpu"),
        ("train", "r-train"),
        ("gpu-0", "i-gpu-0"),
        ("gpu/0", "i-gpu-0"),
    ],
)
def test_a_name_means_one_thing(name, found):
    assert finding.thing_named(SHOT, name).id == found


@pytest.mark.parametrize("text", ["chat-70b/5", "chat-70b/decode 5"])
def test_a_replica_is_named_by_its_number(text):
    assert finding.thing_named(SHOT, text).key.replica_num == 5


def test_a_number_alone_is_of_the_run_at_hand():
    assert finding.replica_named(SHOT, "5", SHOT.services["s-chat-70b"]).key.replica_num == 5
    assert finding.replica_named(SHOT, "train/1").key == NODE


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("chat-70", "There is no service, fleet or run chat-70 in project main. Did you mean"),
        ("both", "both is a service and a fleet. Use :services both or :fleets both."),
        ("gpu/7", "There is no instance gpu/7 in project main."),
        ("chat-70b/7", "There is no replica 7 in service chat-70b. It has: 5."),
        ("train/x", "There is no node x in task train. It has: 1."),
    ],
)
def test_a_name_that_is_none_is_told(name, told):
    with pytest.raises(NoSuchNameError) as raised:
        finding.thing_named(SHOT, name)
    assert str(raised.value).startswith(told)


def test_a_number_of_no_run_says_what_to_write():
    with pytest.raises(NoSuchNameError, match="5 is of no service"):
        finding.replica_named(SHOT, "5")


def offered(text, screen=places.PROBLEMS):
    return complete(text, screen, lambda action: finding.NAMES[action](SHOT))


def test_names_are_completed_on_every_screen_that_is_read():
    for screen in places.READ:
        assert offered("svc ch", screen) == ["svc chat-70b"]
        assert offered("fleet ", screen) == ["fleet gpu", "fleet both"]
        assert offered("rep chat", screen) == ["rep chat-70b/5"]
        assert offered("logs tr", screen) == ["logs train", "logs train/1"]
        assert offered("open gpu", screen) == ["open gpu", "open gpu-0"]


def test_what_is_within_a_name_comes_after_what_begins_so():
    assert offered("svc 70b") == ["svc chat-70b"]
    assert offered("open t") == ["open train", "open train/1", "open both", "open chat-70b",
                                 "open chat-70b/5"]  # fmt: skip


def test_no_argument_is_dropped():
    assert parse("services chat-70b", places.EVENTS) == ("services", "chat-70b")
    with pytest.raises(CommandError, match=r":reverse takes no argument, but x was given"):
        parse("reverse x", places.FLEETS)


def test_aliases_stand_for_commands_and_for_no_beginning_of_another():
    assert {*ALIASES.values()} <= {*actions.BY_ID}
    assert not {*ALIASES} & {*actions.BY_ID}


OWN = all_aliases({"oncall": "svc chat-70b", "Show": "services", "quit": "drain", "x": "nope"})


def test_the_settings_add_short_forms():
    assert parse("oncall", places.EVENTS, OWN) == ("services", "chat-70b")
    assert parse("show chat-70b", places.EVENTS, OWN) == ("services", "chat-70b")
    assert complete("on", places.EVENTS, lambda _: (), OWN) == ["oncall"]
    assert complete("show bo", places.EVENTS, lambda action: finding.NAMES[action](SHOT), OWN) == [
        "show both"
    ]


def test_a_short_form_hides_no_command_and_stands_for_one():
    assert parse("quit", places.EVENTS, OWN) == ("quit", "")
    told = [*wrong_aliases({"quit": "drain", "x": "nope", "a b": "quit", "ok": "reverse"})]
    assert [each.partition(": ")[2] for each in told] == [
        "quit is the name of a command. It is not used.",
        "x stands for no command. It is not used.",
        "a b is not one word. It is not used.",
    ]
