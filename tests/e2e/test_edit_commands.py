"""`plan`, `apply`, `undo` and `rebalance` as programs of their own, against a real server."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from dstack_api_client.edits.base.base import read_service
from dstack_api_client.edits.follow import following
from dstack_fleets_tui.cli.main import main
from dstack_simulator.handle.handle import Handle
from tests.builders.audit_log import ends
from tests.builders.generation import longest
from tests.servers.commands import environment
from tests.servers.edited_services import (
    SECRET,
    client_of,
    command,
    deployment_at,
    look,
    stored,
)
from tests.servers.request_flow import Requests
from tests.waiting import until

pytestmark = pytest.mark.e2e

SERVICES = {"addon": ["chat", "still", "dice"]}

#: Seconds that a program gets, on a busy machine too.
_ENOUGH = 300


class Here:
    """Runs the command line in this process: its exit code, output and errors."""

    def __init__(
        self,
        sim: Handle,
        home: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self._patch = monkeypatch
        self._capsys = capsys
        for name, value in environment(sim, home).items():
            monkeypatch.setenv(name, value)

    def __call__(self, *arguments: str, **more: str) -> tuple[int, str, str]:
        """Runs it with some of the environment replaced."""
        with self._patch.context() as patch:
            for name, value in more.items():
                patch.setenv(name, value)
            try:
                code = main(arguments)
            except SystemExit as end:
                code = int(end.code or 0)
        return code, *self._capsys.readouterr()


@pytest.fixture
def here(
    edit_addon: Handle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Here:
    """The command line in this process."""
    return Here(edit_addon, tmp_path, monkeypatch, capsys)


@pytest.mark.slow
@longest
async def test_the_seed_from_one_order_to_another(edit_addon: Handle, tmp_path: Path) -> None:
    """Edited, followed until each replica is where the lanes say, undone to the byte."""
    sim = edit_addon
    requests = Requests(sim, "chat")
    async with client_of(sim) as client, AsyncExitStack() as meanwhile:

        async def runs() -> bool:
            shares = (await look(client, sim)).service_named("chat").shares  # type: ignore[union-attr]
            return {share.fleet: share.ready for share in shares} == {
                "gpu-reserved": 1,
                "gpu-spot": 1,
            }

        await until(runs, limit=60, every=0.5, what="chat runs where its lanes say")
        await meanwhile.enter_async_context(requests.flowing())
        before = await stored(client, sim, "chat")
        changes = ["chat", "--set", "gpu-spot.min_replicas=2", "--set", "gpu-spot.priority=20"]
        changes += ["--set", "gpu-reserved.min_replicas=0"]
        planned = await command(sim, tmp_path, "plan", *changes)
        assert (planned.returncode, planned.stderr) == (2, "")
        for words in ("gpu-spot min_replicas", "no restart", "moves nothing by itself", "$/h"):
            assert words in planned.stdout
        as_json = await command(sim, tmp_path, "plan", *changes, "-o", "json")
        plan = json.loads(as_json.stdout)
        assert (as_json.returncode, plan["service"], plan["version"]) == (2, "chat", 1)
        assert len(plan["changes"]) == 3
        assert (await stored(client, sim, "chat")).spec == before.spec, "plan changed something"

        applying = asyncio.create_task(
            command(sim, tmp_path, "apply", *changes, "--yes", "--wait=400")
        )

        async def applied() -> bool:
            return (await stored(client, sim, "chat")).deployment > before.deployment

        await until(applied, limit=60, what="the change is applied")
        now = await read_service(client, sim.project, "chat")
        capabilities = (await look(client, sim)).capabilities
        steps = following.follow(client, now, capabilities, limit=400, every=0.5)
        seen = [progress async for progress in steps]
        ready = [sum(lane.ready for lane in each.lanes) for each in seen]
        assert min(ready) >= 2, f"fewer ready than wanted on the way: {ready}"
        assert seen[-1].state is following.State.DONE, seen[-1]
        assert {lane.fleet: (lane.ready, lane.goal) for lane in seen[-1].lanes} == {
            "gpu-spot": (2, 2),
            "gpu-reserved": (0, 0),
        }
        done = await applying
        assert (done.returncode, done.stderr) == (0, "")
        assert "was applied as deployment" in done.stdout
        assert done.stdout.rstrip().splitlines()[-1].startswith("Done after")

        again = await command(sim, tmp_path, "plan", *changes)
        assert (again.returncode, again.stdout.splitlines()[-1]) == (0, "Nothing to change.")

        # Priorities alone move nothing; asked to, the server follows them.
        there = await stored(client, sim, "chat")
        other = ["--set", "gpu-spot.min_replicas=0", "--set", "gpu-reserved.priority=30"]
        done = await command(sim, tmp_path, "apply", "chat", *other, "--yes")
        assert (done.returncode, done.stderr) == (0, "")
        kept = await command(sim, tmp_path, "rebalance", "chat", "--yes", "--read-only")
        assert (kept.returncode, "read-only mode" in kept.stderr) == (1, True)
        asked = await command(
            sim, tmp_path, "rebalance", "chat", "--yes", "--wait=400", "-o", "json"
        )
        assert asked.returncode == 0, asked.stderr
        answer = json.loads(asked.stdout)
        (move,) = answer["moves"]
        assert (move["fleet"], move["to"]) == ("gpu-spot", "gpu-reserved")
        assert answer["result"]["progress"]["state"] == "done", "it was followed"
        assert await runs(), "the replica has moved"
        more = await command(sim, tmp_path, "rebalance", "chat", "--yes")
        assert (more.returncode, more.stdout.split(":")[0]) == (0, "Nothing to move")

        undone = await command(sim, tmp_path, "undo", "chat", "--yes")
        assert (undone.returncode, undone.stderr) == (0, "")
        assert json.dumps((await stored(client, sim, "chat")).spec) == json.dumps(there.spec)
        log = tmp_path / "dstack-fleets-tui" / "audit.jsonl"
        assert [entry["action"] for entry in ends(log)] == [
            "apply",
            "apply",
            "rebalance",
            "undo",
        ]
        assert log.stat().st_mode & 0o777 == 0o600
        assert SECRET not in log.read_text()
    assert not requests.failed
    assert requests.answered > 50


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "gpu-nowhere.priority=1"], "Fleet gpu-nowhere in `fleets` does not exist."),
        (["--set", "still-spot.min_replicas=9"], "above the maximum replica count of 2"),
        (["--set", "still-spot.min_replicas=soon"], "is not a whole number"),
        (["--set", "still-spot.minimum=1"], "can't be understood. Write FLEET.FIELD=VALUE"),
        (["--set", "decode.replicas=2"], "The service has no replica group decode."),
        (["--replicas", "3..10"], "A range needs `scaling` rules."),
        (["--replicas", "9..1"], "Write the smaller number first."),
        (["--remove", "gpu-nowhere"], "There is no lane for fleet gpu-nowhere."),
        (["-f", "/nonexistent.yml"], "can't be read: No such file or directory."),
        (["--wrong"], "unrecognized arguments: --wrong"),
    ],
)
def test_refused(here: Here, arguments: list[str], words: str) -> None:
    code, out, err = here("plan", "still", *arguments)
    assert (code, out) == (1, "")
    assert words in err


def test_the_rest_of_the_codes(here: Here, edit_addon: Handle) -> None:
    change = ["dice", "--set", "priority=91"]
    code, _, err = here("plan", "dicee")
    assert (code, "Did you mean dice?" in err) == (1, True)
    code, _, err = here("plan", *change, DSTACK_SERVER_URL="http://127.0.0.1:9")
    assert (code, "No connection" in err) == (3, True)
    code, out, err = here("apply", *change)
    assert (code, "There is no terminal to ask on. Give --yes" in err) == (1, True)
    assert out.startswith("Plan for dice in "), "the plan comes first"
    code, out, err = here("apply", *change, "-o", "json")
    assert (code, out) == (1, "")
    assert "Plan for dice in " in err.partition("There is no terminal to ask on.")[0], "here too"
    code, _, err = here("apply", *change, "--yes", "--read-only")
    assert (code, "Nothing is changed in read-only mode." in err) == (1, True)
    guard = {"DSTACK_FLEETS_TUI_PROJECTS": f"{{{edit_addon.project}: {{protected: true}}}}"}
    code, _, err = here("apply", *change, "--yes", **guard)
    assert (code, "is protected. Give --confirm dice too." in err) == (1, True)
    code, _, err = here("undo", "dice", "--yes")
    assert (code, "No change to dice that could be undone is known here" in err) == (1, True)
    code, out, err = here("plan", *change, "-o", "json")
    assert json.loads(out)["changes"][0]["new"] == "91", "it was changed"
    code, out, err = here("apply", *change, "--yes", "--confirm", "dice", **guard)
    assert (code, "was applied as deployment" in out) == (0, True), err
    assert here("plan", *change)[0] == 0


async def test_what_is_still_waited_for(edit_addon: Handle, tmp_path: Path) -> None:
    sim = edit_addon
    async with client_of(sim) as client:

        async def rests() -> bool:
            dice = (await look(client, sim)).service_named("dice")
            return dice is not None and dice.ready == dice.active == dice.replicas_max

        # One that starts by an earlier change would be slow too, and be counted with the new one.
        await until(rests, limit=120, every=0.5, what="what dice has runs")
        before = await stored(client, sim, "dice")
        number = before.configuration["replicas"]["max"]
        await sim.faults.slow_start(600)
        try:
            waited = await command(
                sim, tmp_path, "apply", "dice", "--replicas", str(number + 1), "--yes", "--wait=1"
            )
        finally:
            await sim.faults.slow_start(0)
        assert waited.returncode == 5, waited.stderr
        (last,) = waited.stdout.splitlines()[-1:]
        # What is there already may yet have to be counted to the new deployment.
        assert re.search(r"still waiting for: .*\b1 replica to ", last), last
        assert last.endswith("The change stays applied, and the server goes on with it.")
        back = await command(
            sim, tmp_path, "apply", "dice", "--replicas", str(number), "--yes", "--wait=400"
        )
        assert back.returncode == 0, back.stdout + back.stderr
        now = await stored(client, sim, "dice")
        assert now.configuration["replicas"] == before.configuration["replicas"]


async def test_a_file(edit_addon: Handle, tmp_path: Path) -> None:
    async with client_of(edit_addon) as client:
        base = await stored(client, edit_addon, "dice")
    file: dict[str, Any] = {
        key: base.configuration[key] for key in ("type", "name", "model", "probes", "commands")
    }
    file |= {"port": 8000, "replicas": 1, "spot_policy": "auto", "env": ["HF_TOKEN"]}
    file |= {"fleets": [{"name": "dice-spot", "priority": 4}], "resources": {"gpu": "H100:8"}}
    path = tmp_path / "dice.dstack.yml"
    path.write_text(yaml.safe_dump(file))
    process = await command(
        edit_addon, tmp_path, "apply", "dice", "-f", str(path), "--yes", "-o", "json"
    )
    assert process.returncode == 0, process.stderr
    answer = json.loads(process.stdout)
    assert answer["result"]["deployment"] == base.deployment + 1
    assert SECRET not in process.stdout + process.stderr
    async with client_of(edit_addon) as client:
        now = await stored(client, edit_addon, "dice")
    assert now.configuration["fleets"] == [{"project": None, "name": "dice-spot", "priority": 4}]
    assert now.configuration["env"] == {"HF_TOKEN": SECRET}, "a value that the client has not"


def _hears_interrupts() -> None:
    """A program inherits that interrupts are ignored, as those begun in the background do."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


async def test_leaving_while_it_waits(edit_addon: Handle, tmp_path: Path) -> None:
    """Ctrl+C ends the looking, not the change."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dstack_fleets_tui"),
        *("apply", "dice", "--replicas", "2", "--yes", "--wait"),
        env=environment(edit_addon, tmp_path),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=_hears_interrupts,
    )
    assert process.stdout is not None
    await asyncio.wait_for(_read_to(process.stdout, b"was applied"), _ENOUGH)
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), _ENOUGH)
    assert process.returncode == 130
    assert b"The change stays applied" in err
    async with client_of(edit_addon) as client:
        now = await stored(client, edit_addon, "dice")
    assert now.configuration["replicas"] == {"min": 2, "max": 2}


async def _read_to(stream: asyncio.StreamReader, words: bytes) -> None:
    while words not in (line := await stream.readline()):
        assert line, "it has ended"


def _rest(terminal: int) -> str:
    """All that is left to read on a terminal whose programs have ended."""
    text = b""
    with suppress(OSError):  # the end
        while chunk := os.read(terminal, 65536):
            text += chunk
    return text.decode()


@pytest.mark.parametrize(
    ("answer", "guarded", "code"), [("n", False, 1), ("y", False, 0), ("y", True, 1)]
)
async def test_asking_on_a_terminal(
    edit_addon: Handle, tmp_path: Path, answer: str, guarded: bool, code: int
) -> None:
    sim = edit_addon
    guard = {"DSTACK_FLEETS_TUI_PROJECTS": f"{{{sim.project}: {{protected: true}}}}"}
    ours, theirs = pty.openpty()
    wanted = {"n": 93, "y": 94}[answer] + guarded
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dstack_fleets_tui", "apply", "dice"),
        *("--set", f"priority={wanted}"),
        env=environment(sim, tmp_path, **(guard if guarded else {})),
        stdin=theirs,
        stdout=asyncio.subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    os.write(ours, f"{answer}\n".encode())
    out, _ = await asyncio.wait_for(process.communicate(), _ENOUGH)
    asked = _rest(ours)
    os.close(ours)
    assert process.returncode == code, asked
    assert out.startswith(b"Plan for dice in ")
    question = "Type dice to change" if guarded else f"Apply this to dice in {sim.project} @ "
    assert question in asked
    async with client_of(sim) as client:
        now = (await stored(client, sim, "dice")).configuration["priority"]
    assert (now == wanted) == (code == 0)


async def test_somebody_else_while_it_asks(edit_addon: Handle, tmp_path: Path) -> None:
    sim = edit_addon
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dstack_fleets_tui", "apply", "dice"),
        *("--set", "priority=58", "--replicas", "1"),
        env=environment(sim, tmp_path),
        stdin=theirs,
        stdout=asyncio.subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    asked = b""
    while b"Apply this to dice" not in asked:
        asked += await asyncio.wait_for(asyncio.to_thread(os.read, ours, 65536), _ENOUGH)
    touched = await sim.touch_run("dice", priority=59)
    os.write(ours, b"y\n")
    await asyncio.wait_for(process.communicate(), _ENOUGH)
    told = _rest(ours)
    os.close(ours)
    assert process.returncode == 1
    assert "CONFLICT priority: was " in told
    assert ", somebody else set it to 59, this sets it to 58" in told
    assert "Somebody else changed dice" in told
    async with client_of(sim) as client:
        assert (await stored(client, sim, "dice")).spec == touched["run_spec"]


@pytest.mark.slow
@longest
async def test_leaving_while_it_is_applied(edit_addon: Handle, tmp_path: Path) -> None:
    """Ctrl+C between the request and its answer: what became of it is still found out and told."""
    sim = edit_addon
    async with client_of(sim) as client:
        before = await stored(client, sim, "dice")
        await sim.faults.server_slow(2)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "dstack_fleets_tui", "apply", "dice"),
            *("--set", "priority=57", "--yes"),
            env=environment(sim, tmp_path),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=_hears_interrupts,
        )
        try:
            await until(
                lambda: deployment_at(sim, "dice", before.deployment + 1),
                limit=120,
                what="the change has arrived",
            )
            process.send_signal(signal.SIGINT)
        finally:
            await sim.faults.server_slow(0)
        _, err = await asyncio.wait_for(process.communicate(), _ENOUGH)
        assert process.returncode == 130, err
        assert b"was applied as deployment" in err
        assert (await stored(client, sim, "dice")).configuration["priority"] == 57
    (entry,) = ends(tmp_path / "dstack-fleets-tui" / "audit.jsonl")
    assert "was applied" in entry["result"]
