"""The commands of jobs that emulated containers understand."""

import pytest

from dstack_simulator.hosts.script import (
    Action,
    Engine,
    Exit,
    Finish,
    Router,
    Sleep,
    Step,
    Workload,
    read_script,
)


def steps(text: str, kind: str = "task") -> list[Step]:
    return read_script(["/bin/bash", "-i", "-c", text], {"MODEL": "some/model"}, kind=kind)


def actions(text: str, kind: str = "task") -> list[Action]:
    return [step.action for step in steps(text, kind)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("exit 3", [Exit(3)]),
        ("exit", [Exit(0)]),
        ("sleep 5; exit 1", [Sleep(5), Exit(1)]),
        ("sleep 1m 30s", [Sleep(90)]),
        ("sleep infinity", [Sleep(None)]),
        ("true && false", [Finish(), Finish(1)]),
        ("echo 'a; b' && exit 2", [Finish(text="a; b"), Exit(2)]),
        ("tail -f /dev/null", [Sleep(None)]),
        ("smg launch --port 8000", [Router(("launch", "--port", "8000"))]),
        ("exec smg launch", [Router(("launch",))]),
        ("pip install x && python train.py", [Finish(), Workload("python train.py")]),
        ("python a.py && python b.py", [Finish(), Workload("python b.py")]),
        ("vllm serve $MODEL", [Engine("vllm serve some/model")]),
        ("pip install sglang\nsglang serve", [Finish(), Engine("sglang serve")]),
        ("if true; then exit 1; fi; exit 4", [Finish(), Exit(4)]),
        ("(cd x; exit 1) && exit 5", [Finish(), Exit(5)]),
        ("# nothing\nexit 6", [Exit(6)]),
        ("exit \\\n 7", [Exit(7)]),
        ("", []),
    ],
)
def test_reads(text: str, expected: list[Action]) -> None:
    assert actions(text) == expected


def test_last_unknown_command_of_a_service_is_a_worker() -> None:
    assert actions("./serve.sh --fast", "service") == [Engine("./serve.sh --fast")]


def test_joins_and_background() -> None:
    read = steps("false || echo a; { vllm serve x & } && wait")
    assert [(step.join, step.background) for step in read] == [
        ("always", False),
        ("if_failed", False),
        ("always", True),
        ("if_ok", False),
    ]
    assert read[2].action == Engine("vllm serve x")


def test_docker_like_commands_without_a_shell() -> None:
    assert [s.action for s in read_script(["vllm", "serve", "a b"], {}, kind="service")] == [
        Engine("vllm serve 'a b'")
    ]


def test_what_dstack_puts_before_the_commands_of_its_own_image() -> None:
    from dstack._internal.server.services.jobs.configurators.base import _join_shell_commands

    before = [
        "eval $(echo 'export DSTACK_VENV_DIR=/dstack/venv' | sudo tee -a /dstack/profile)",
        "sudo rm -rf $DSTACK_VENV_DIR",
        "(if UV=x uv python find 3.12 > /dev/null 2>&1; then export A=b; fi; uv venv -q $D)",
    ]
    text = _join_shell_commands([*before, "start-it &", "sleep 2", "exit 3"])
    assert actions(text)[-2:] == [Sleep(2), Exit(3)]
    assert len(actions(text)) == 6
