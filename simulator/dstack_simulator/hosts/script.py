"""Reads a job's commands and decides what an emulated container does with them.

Understood are lists of commands joined by `;`, newlines, `&&`, `||` and a trailing `&`, with the
meaning that a shell gives them, and these commands:

    exit N                       ends the job with that status
    sleep S                      takes that long (s, m, h and d, or `infinity`)
    true, false, :               succeed or fail
    echo TEXT, printf TEXT       write to the log
    tail -f FILE, wait           never end
    smg launch ...               runs the real SMG router
    an inference engine          (sglang, vllm, ...) becomes an emulated inference worker

Every other command does nothing and succeeds, except the last one of the script: in a task it is
a workload that goes on until it is stopped, in a service it is an inference worker.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Template
from typing import Literal

Join = Literal["always", "if_ok", "if_failed"]

_ENGINES = re.compile(
    r"\b(sglang|vllm|launch_server|tgi|text-generation-launcher|trtllm-serve|llama-server|ollama)\b"
)
_QUIET = {
    "cd", "export", "set", "source", ".", "eval", "pip", "uv", "apt", "apt-get", "sudo", "mkdir",
    "rm", "cp", "mv", "ln", "chmod", "chown", "git", "wget", "curl", "hf", "huggingface-cli",
    "nvidia-smi", "ls", "cat", "pwd", "env", "which", "start-dockerd", "(", "if", "for", "while",
    "until", "case",
}  # fmt: skip
_OPENERS = {"if", "for", "while", "until", "case"}
_CLOSERS = {"fi", "done", "esac"}
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Exit:
    """End the job."""

    status: int


@dataclass(frozen=True)
class Sleep:
    """Take some time; `None` is for ever."""

    seconds: float | None


@dataclass(frozen=True)
class Finish:
    """Be done at once with a status, after writing some text."""

    status: int = 0
    text: str = ""


@dataclass(frozen=True)
class Router:
    """Run the real SMG with these arguments."""

    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Engine:
    """Be an inference worker."""

    command: str


@dataclass(frozen=True)
class Workload:
    """Be busy until stopped."""

    command: str


Action = Exit | Sleep | Finish | Router | Engine | Workload


@dataclass(frozen=True)
class Step:
    """One command, and when it runs."""

    action: Action
    join: Join = "always"
    background: bool = False


def read_script(
    commands: Sequence[str], env: Mapping[str, str], *, kind: Literal["service", "task"]
) -> list[Step]:
    """Reads the `commands` of a job specification as the runner receives them."""
    pieces = _split(_script_text(commands))
    steps: list[Step] = []
    for position, (text, join, background) in enumerate(pieces):
        expanded = Template(text).safe_substitute(env)
        is_last = position == len(pieces) - 1
        steps.append(Step(_read_command(expanded, kind, is_last), join, background))
    return steps


def _script_text(commands: Sequence[str]) -> str:
    # dstack wraps what people write into `SHELL -i -c "first && second"`.
    if len(commands) >= 3 and commands[-2] == "-c":
        return commands[-1]
    return shlex.join(commands)


def _read_command(text: str, kind: str, is_last: bool) -> Action:
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    if words and words[0] == "exec":
        words = words[1:]
    if not words:
        return Finish()
    simple = _read_simple(words)
    if simple is not None:
        return simple
    if words[:2] == ["smg", "launch"]:
        return Router(tuple(words[1:]))
    name = words[0].rsplit("/", 1)[-1]
    if name not in _QUIET and not text.startswith("("):
        if _ENGINES.search(text):
            return Engine(text)
        if is_last:
            return Engine(text) if kind == "service" else Workload(text)
    return Finish()


def _read_simple(words: list[str]) -> Action | None:
    name, arguments = words[0], words[1:]
    action: Action | None = None
    if name == "exit":
        status = arguments[0] if arguments else "0"
        action = Exit(int(status) % 256 if status.isdecimal() else 2)
    elif name == "sleep":
        action = Sleep(_duration(arguments))
    elif name in ("true", ":"):
        action = Finish()
    elif name == "false":
        action = Finish(1)
    elif name in ("echo", "printf"):
        action = Finish(text=" ".join(word for word in arguments if word not in ("-n", "-e")))
    elif name == "wait" or (name == "tail" and "-f" in arguments):
        action = Sleep(None)
    return action


def _duration(arguments: list[str]) -> float | None:
    total = 0.0
    for argument in arguments:
        if argument in ("infinity", "inf"):
            return None
        match = re.fullmatch(r"(\d+\.?\d*|\.\d+)([smhd]?)", argument)
        if match is not None:
            total += float(match[1]) * _UNITS[match[2] or "s"]
    return total


def _split(text: str) -> list[tuple[str, Join, bool]]:
    """Cuts a script into commands; quotes, brackets and `if ... fi` keep theirs together."""
    pieces: list[tuple[str, Join, bool]] = []
    join: Join = "always"
    current = ""
    for token in _tokens(text):
        if token in ("&&", "||", ";", "\n", "&"):
            if current.strip():
                pieces.append((current.strip(), join, token == "&"))
                join = "always"
            if token == "&&":
                join = "if_ok"
            elif token == "||":
                join = "if_failed"
        else:
            current = token
            continue
        current = ""
    if current.strip():
        pieces.append((current.strip(), join, False))
    return [piece for piece in pieces if not piece[0].startswith("#")]


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    current = ""
    quote = ""
    depth = 0
    position = 0

    def flush() -> None:
        nonlocal current
        if current:
            tokens.append(current)
        current = ""

    while position < len(text):
        char = text[position]
        pair = text[position : position + 2]
        position += 1
        if quote:
            current += char
            if char == "\\" and quote == '"' and position < len(text):
                current += text[position]
                position += 1
            elif char == quote:
                quote = ""
            continue
        if char == "\\" and position < len(text):
            # A backslash before a newline continues the line.
            if text[position] != "\n":
                current += char + text[position]
            position += 1
            continue
        if char in "'\"":
            quote = char
            current += char
            continue
        if char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        elif char in "{}" and not current.strip() and depth == 0:
            # `{ command & }` groups without a meaning of its own here.
            continue
        if depth == 0 and char in ";\n&|" and not _inside_block(current):
            if pair in ("&&", "||"):
                flush()
                tokens.append(pair)
                position += 1
                continue
            if char == "&" and not current.endswith(">") and pair != "&>":
                flush()
                tokens.append("&")
                continue
            if char in ";\n":
                flush()
                tokens.append(char)
                continue
        current += char
    flush()
    return tokens


def _inside_block(current: str) -> bool:
    words = re.split(r"[\s;]+", current.strip())
    if not words or words[0] not in _OPENERS:
        return False
    opened = sum(word in _OPENERS for word in words)
    return opened > sum(word in _CLOSERS for word in words)
