"""The log of what was changed from this machine."""

from __future__ import annotations

from pathlib import Path

from dstack_api_client.edits.store import audit_log
from dstack_api_client.edits.store.audit_log import AuditLine
from tests.builders.sample_look import LOOK


def line(name: str, result: str, sent: str = "") -> AuditLine:
    (one,) = LOOK.changes
    return AuditLine(
        one.at, "ada", "ada", one.server, one.project, "service", name, "apply", (), result, sent
    )


def test_a_request_is_one_line_with_what_came_of_it(tmp_path: Path) -> None:
    assert audit_log.read(tmp_path) == ([], 0)
    for each in (
        line("a", "sent", "1"),
        line("b", "refused"),
        line("a", "applied", "1"),
        line("c", "sent", "2"),
    ):
        audit_log.append(tmp_path, each)
    read, broken = audit_log.read(tmp_path)
    assert [(each.name, each.result) for each in read] == [
        ("a", "applied"),
        ("b", "refused"),
        ("c", "sent"),
    ]
    assert broken == 0


def test_lines_that_are_broken_are_counted_and_older_ones_come_first(tmp_path: Path) -> None:
    audit_log.append(tmp_path, line("old", "applied"))
    path = audit_log.path_in(tmp_path)
    path.rename(path.with_suffix(".1.jsonl"))
    audit_log.append(tmp_path, line("new", "applied"))
    with path.open("ab") as file:
        file.write(b'\n{"at": 3}\nhalf a li')
    read, broken = audit_log.read(tmp_path)
    assert ([each.name for each in read], broken) == (["old", "new"], 2)
