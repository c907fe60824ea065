"""Every command on a network that fails: exit codes, what is said, what is sent, what is kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest

from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.transport.transport import Transport
from dstack_fleets_tui.cli.main import main
from tests.builders.audit_log import ends
from tests.builders.hurried_edits import hurry, no_sleep
from tests.builders.network_commands import COMMANDS, WRITES
from tests.servers.faulty_proxy import FaultyProxy, proxy_in_a_thread
from tests.servers.network_faults import HARMLESS, SHORT, Line, crossed
from tests.servers.networked_server import NetworkedServer

TOKEN = "secret-token"
READS = [name for name, (command, _) in COMMANDS.items() if command[0] in ("get", "plan")]
WRITES["rebalance"] = "placement/rebalance"
#: What each kind of command asks for, by the ends of the paths.
ASKED = [
    "server/get_info",
    "projects/main/get",
    "placement/get_info",
    "openapi.json",
    "events/list",
    "fleets/list",
    "runs/list",
    "placement/list",
]
EDITING = ["placement/get", "runs/get", "placement/preview"]
ENDPOINTS: dict[str, list[str]] = {
    **dict.fromkeys(READS, ASKED),
    "one distribution": [*ASKED, "placement/get"],
    "plan": [*ASKED, *EDITING, "runs/get_plan"],
    "rebalance": [*ASKED, *EDITING, "users/get_my_user", "placement/rebalance"],
}
for _name in ("apply", "apply --wait", "undo"):
    ENDPOINTS[_name] = [*ASKED, *EDITING, "runs/get_plan", "users/get_my_user", "runs/apply"]

#: What all ask for is tried quickly with one of them, and what two that write ask for besides.
QUICK = [
    *(("services", end) for end in ASKED),
    *((name, end) for name in ("apply", "rebalance") for end in ENDPOINTS[name][len(ASKED) :]),
]
_WHOLE = ("services", "apply", "rebalance", "one distribution", "problems")
#: Where endpoints fail, by command: all that are asked for, or those that are the command's own.
TRIED_AT: dict[str, list[str]] = {
    **{name: ENDPOINTS[name] for name in _WHOLE},
    **{name: ENDPOINTS[name][len(ASKED) :] for name in ("plan", "apply --wait", "undo")},
}


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return f"{self.out}\n{self.err}"


class Desk:
    """Where commands run: a proxy before a server, and a home of their own."""

    def __init__(self, proxy: FaultyProxy, home: Path, read: Callable[[], Any]) -> None:
        self.proxy = proxy
        self.home = home
        self._read = read
        self.server = proxy.server

    def run(self, name: str) -> Ended:
        """Runs a command to its end, and looks that it holds to what none may break."""
        self._read()
        code = main(COMMANDS[name][0])
        ended = Ended(code, *self._read())
        assert "Traceback" not in ended.said
        assert "Something failed that should not" not in ended.said
        assert TOKEN not in ended.said
        for file in self.home.rglob("*"):
            assert not file.is_file() or TOKEN not in file.read_text()
        assert self.proxy.strangers == []
        return ended

    def prepare(self, name: str) -> None:
        """Makes what there is to take back."""
        if name == "undo":
            assert main(COMMANDS["apply"][0]) == 0
            self.server.writes.clear()

    @property
    def results(self) -> list[str]:
        """What the audit log says of what this command changed, in its order."""
        return [str(end["result"]) for end in ends(Store.default().audit_path)]


@contextmanager
def _limited(proxy: FaultyProxy) -> Iterator[None]:
    """Gives only those answers little time whose fault takes time."""
    send = Transport._send

    async def sent(self: Transport, path: str, *arguments: Any) -> bytes:
        longest = self._longest
        self._longest = SHORT if proxy.timed and proxy.hits(path) else longest
        try:
            return await send(self, path, *arguments)
        finally:
            self._longest = longest

    Transport._send = sent  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Transport._send = send  # type: ignore[method-assign]


@pytest.fixture
def desk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Desk]:
    hurry(monkeypatch)
    monkeypatch.setitem(Transport.__init__.__kwdefaults__, "sleep", no_sleep)
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    with proxy_in_a_thread(NetworkedServer()) as proxy, _limited(proxy):
        monkeypatch.setenv("DSTACK_SERVER_URL", proxy.url)
        monkeypatch.setenv("DSTACK_PROJECT", "main")
        monkeypatch.setenv("DSTACK_TOKEN", TOKEN)
        yield Desk(proxy, tmp_path, capsys.readouterr)


@pytest.mark.parametrize("command", COMMANDS)
def test_all_is_well_and_asks_for_what_is_tried(desk: Desk, command: str) -> None:
    desk.prepare(command)
    ended = desk.run(command)
    assert ended.code == COMMANDS[command][1]
    assert ended.out
    # How a service is placed comes with the list or alone, as time goes.
    for end in ENDPOINTS[command]:
        placed = "placement/list" if end == "placement/get" else end
        assert any(path.endswith((end, placed)) for path in desk.proxy.asked), end
    assert len(desk.server.writes) == (command in WRITES)


@pytest.mark.parametrize(
    ("fault", "command"),
    crossed([(name,) for name in COMMANDS], one_of=6),
)
def test_a_server_that_can_not_be_read_is_away(desk: Desk, fault: str, command: str) -> None:
    desk.prepare(command)
    desk.proxy.fails(fault)
    ended = desk.run(command)
    assert ended.code == 3, ended.said
    assert ended.out == ""
    assert ended.err
    assert desk.server.writes == []
    desk.proxy.works()
    assert desk.run(command).code == COMMANDS[command][1]


@pytest.mark.parametrize(
    ("fault", "command", "end"),
    crossed(
        [(name, end) for name, ends in TRIED_AT.items() for end in ends],
        quick=QUICK,
        one_of=12,
    ),
)
def test_an_endpoint_that_fails_is_told_and_nothing_said_that_is_not_so(
    desk: Desk, fault: str, command: str, end: str
) -> None:
    code = COMMANDS[command][1]
    desk.prepare(command)
    before = len(desk.results)
    desk.proxy.fails(fault, end)
    ended = desk.run(command)
    writes, results = len(desk.server.writes), desk.results[before:]
    _is_true(ended, code, writes, results)
    if command in READS and ended.code == code:
        well = _well(command).replace("URL", desk.proxy.url)
        assert ended.out == well or "read" in ended.said or "known" in ended.said, ended.said
    desk.proxy.works()
    again = desk.run(command)
    if command in READS:
        assert again.code == code
    assert len(desk.server.writes) <= 2


@pytest.mark.parametrize("end", ["placement/get_info", "placement/preview", "runs/get_plan"])
def test_a_plan_between_which_a_gateway_answers_is_not_refused(desk: Desk, end: str) -> None:
    for fault in ("HTML 200", "HTML 502", "204", "407", "null", "redirect"):
        desk.proxy.fails(fault, end)
        ended = desk.run("plan")
        assert ended.code == 3, (fault, ended.said)
        assert "has no placement add-on" not in ended.said


@pytest.mark.parametrize("end", ["placement/get_info", "placement/list"])
def test_a_placement_that_can_not_be_read_is_told(desk: Desk, end: str) -> None:
    for fault in ("HTML 200", "204", "407", "null", "redirect"):
        desk.proxy.fails(fault, end)
        assert "The placement add-on could not be read." in desk.run("services").err, fault
        notes = desk.run("distribution").out
        assert "could not be read" in notes or "is not known" in notes, fault
        assert "Placement not read." in desk.run("problems").out, fault


@pytest.mark.parametrize(("fault", "command"), crossed([(name,) for name in WRITES], one_of=2))
def test_a_change_after_which_nothing_can_be_read_is_not_known(
    desk: Desk, fault: str, command: str
) -> None:
    desk.prepare(command)
    desk.proxy.fails(fault, WRITES[command])
    broken = desk.proxy.fault

    async def from_now_on(line: Line, answer: httpx.Response) -> None:
        desk.proxy.paths = ()
        await broken(line, answer)

    desk.proxy.fault = from_now_on
    ended = desk.run(command)
    assert ended.code == 6, ended.said
    assert "not known" in ended.err or "no answer says" in ended.err
    assert len(desk.server.writes) == 1
    assert desk.results[-1].startswith("not known: ")


@pytest.mark.parametrize("fault", HARMLESS)
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(name, marks=[] if name in ("services", "apply") else [pytest.mark.slow])
        for name in COMMANDS
    ],
)
def test_what_comes_all_the_same_is_taken(desk: Desk, fault: str, command: str) -> None:
    desk.prepare(command)
    desk.proxy.fails(fault)
    assert desk.run(command).code == COMMANDS[command][1]
    assert len(desk.server.writes) == (command in WRITES)


def test_a_rebalancing_is_ended_where_one_is_under_way(desk: Desk) -> None:
    cancel = ["rebalance", "chat", "--cancel", "--yes"]
    assert main(cancel) == 0
    assert desk.server.writes == []
    under_way = {"since": "2026-03-14T14:00:00Z", "left": 2}
    desk.server.placements["chat"]["rebalancing"] = under_way
    assert main(cancel) == 0
    assert [path.rpartition("/")[2] for path in desk.server.writes] == ["rebalance"]
    assert desk.results == ["cancelled"]


@pytest.mark.parametrize("command", ["services", "plan", "apply", "undo", "rebalance"])
def test_a_proxy_of_the_environment_that_refuses_is_away_and_its_password_not_told(
    desk: Desk, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.prepare(command)
    for status in ("HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(status, desk.proxy.url.replace("://", "://ada:hunter2@"))
    monkeypatch.setenv("DSTACK_SERVER_URL", "https://server.invalid")
    desk.proxy.fails("407")
    ended = desk.run(command)
    assert ended.code == 3
    assert "hunter2" not in ended.said
    assert desk.server.writes == []


def _is_true(ended: Ended, code: int, writes: int, results: list[str]) -> None:
    """Looks that what is said of a change is what became of it."""
    said = f"{ended.said}\n{results}"
    if writes:
        assert writes == 1, "a write is never repeated"
        assert ended.code in (code, 6), said
        assert "not applied" not in said
        assert "Nothing was" not in said
        assert len(results) == 1
        assert results[0].startswith("not known: ") == (ended.code == 6)
    else:
        assert ended.code in (code, 3), said
        assert "was applied" not in said
        assert "The server moves" not in said
        assert not any("not known" in each for each in results)


@cache
def _well(command: str) -> str:
    """What a command prints where all is well, its server called URL."""
    texts: list[str] = []
    with (
        TemporaryDirectory() as home,
        pytest.MonkeyPatch.context() as patch,
        proxy_in_a_thread(NetworkedServer()) as proxy,
    ):
        for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
            patch.setenv(name, home)
        patch.setenv("DSTACK_SERVER_URL", proxy.url)
        patch.setattr("sys.stdout.write", texts.append)
        assert main(COMMANDS[command][0]) == COMMANDS[command][1]
        assert os.environ["DSTACK_TOKEN"] == TOKEN
        return "".join(texts).replace(proxy.url, "URL")
