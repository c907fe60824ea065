from hypothesis import given

from dstack_api_client.join.difference import Difference, diff
from dstack_api_client.join.join import Answers
from dstack_api_client.model.snapshot import Snapshot
from tests.builders import answers
from tests.builders.joined_answers import FLEET, joined, known, projects

KINDS = ("fleets", "instances", "services", "replicas", "other_runs")


@given(projects(), projects())
def test_the_old_keys_with_the_difference_are_the_new_keys(before: Answers, after: Answers) -> None:
    old, new = joined(before).snapshot, joined(after, previous=joined(before)).snapshot
    difference = diff(old, new)
    for kind in KINDS:
        then, now = getattr(old, kind), getattr(new, kind)
        changes = getattr(difference, kind)
        assert (then.keys() | changes.added) - changes.gone == now.keys()
        assert changes.added.isdisjoint(then)
        assert changes.gone <= then.keys()
        for key in then.keys() & now.keys():
            assert (key in changes.changed) is (then[key] != now[key])


@given(projects())
def test_against_nothing_everything_is_added(project: Answers) -> None:
    made: Snapshot = joined(project).snapshot
    difference = diff(None, made)
    for kind in KINDS:
        assert getattr(difference, kind).added == getattr(made, kind).keys()
        assert not getattr(difference, kind).changed


def test_no_change_is_no_difference() -> None:
    project = known(fleets=[FLEET], runs=[answers.run(1, answers.job(0))])
    old, new = joined(project).snapshot, joined(project).snapshot
    assert old.fleets is not new.fleets
    assert diff(old, new) == Difference()
    assert not diff(old, new)


def test_a_changed_spec_changes_the_fleet() -> None:
    changed = {**FLEET, "spec": {**FLEET["spec"], "new": 1}}
    old, new = (joined(known(fleets=[fleet])).snapshot for fleet in (FLEET, changed))
    assert diff(old, new).fleets.changed == {FLEET["id"]}
