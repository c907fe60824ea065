"""Where a client connects: flags, environment, file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dstack_api_client.connect.connection import Connection
from dstack_api_client.connect.discovery import Flags, connect
from tests.builders.config_files import MAIN, PROD, failure, write

URL, TOKEN, PROJECT = "DSTACK_SERVER_URL", "DSTACK_TOKEN", "DSTACK_PROJECT"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write(tmp_path / "config.yml", [MAIN, PROD])


def where(connection: Connection) -> tuple[str, str, str]:
    return connection.url, connection.project, connection.token


ONE = "https://one.example"
TWO = "https://two.example:8443"
ENV = {URL: "https://env.example", TOKEN: "token-env", PROJECT: "envproject"}


@pytest.mark.parametrize(
    ("flags", "env", "expected", "sources"),
    [
        ({}, {}, (ONE, "main", "token-main"), ("FILE", "FILE", "FILE")),
        ({"project": "prod"}, {}, (TWO, "prod", "token-prod"), ("FILE", "--project", "FILE")),
        ({}, {PROJECT: "prod"}, (TWO, "prod", "token-prod"), ("FILE", PROJECT, "FILE")),
        (
            {"project": "main"},
            {PROJECT: "prod"},
            (ONE, "main", "token-main"),
            ("FILE", "--project", "FILE"),
        ),
        ({}, {TOKEN: "token-env"}, (ONE, "main", "token-env"), ("FILE", "FILE", TOKEN)),
        ({}, {TOKEN: "", PROJECT: ""}, (ONE, "main", "token-main"), ("FILE", "FILE", "FILE")),
        ({}, ENV, ("https://env.example", "envproject", "token-env"), (URL, PROJECT, TOKEN)),
        (
            {"project": "prod"},
            ENV,
            ("https://env.example", "prod", "token-env"),
            (URL, "--project", TOKEN),
        ),
        # A flag picks the server: its own entry's token and project, not another server's.
        (
            {"server_url": TWO + "/"},
            {},
            (TWO, "prod", "token-prod"),
            ("--server-url", "FILE", "FILE"),
        ),
        (
            {"server_url": TWO},
            {**ENV, PROJECT: ""},
            (TWO, "prod", "token-prod"),
            ("--server-url", "FILE", "FILE"),
        ),
        (
            {"server_url": TWO, "project": "new"},
            {TOKEN: "token-env"},
            (TWO, "new", "token-env"),
            ("--server-url", "--project", TOKEN),
        ),
        (
            {"server_url": "https://ENV.example:443"},
            ENV,
            ("https://ENV.example:443", "envproject", "token-env"),
            ("--server-url", PROJECT, TOKEN),
        ),
    ],
)
def test_order_of_sources(
    config: Path,
    flags: dict[str, str],
    env: dict[str, str],
    expected: tuple[str, str, str],
    sources: tuple[str, str, str],
) -> None:
    connection = connect(Flags(**flags), env, config)  # type: ignore[arg-type]
    assert where(connection) == expected
    named = [str(config) if source == "FILE" else source for source in sources]
    assert [
        connection.sources.url,
        connection.sources.project,
        connection.sources.token,
    ] == named
    assert connection.warnings == ()


def test_the_same_as_dstacks_own_client(
    config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What dstack's client itself makes of the same file and environment, where it finds a way."""
    pytest.importorskip("dstack")
    from dstack._internal.core.errors import ConfigurationError
    from dstack._internal.core.services.api_client import get_api_client

    home = tmp_path / "home"
    path = home / ".dstack" / "config.yml"
    path.parent.mkdir(parents=True)
    path.write_bytes(config.read_bytes())
    path.chmod(0o600)
    monkeypatch.setenv("HOME", str(home))
    cases = 0
    for url in (None, "https://env.example"):
        for token in (None, "token-env"):
            for project in (None, "main", "prod", "unknown"):
                env = {URL: url, TOKEN: token, PROJECT: project}
                for name, value in env.items():
                    monkeypatch.delenv(name, raising=False)
                    if value is not None:
                        monkeypatch.setenv(name, value)
                try:
                    client, name = get_api_client(os.environ.get(PROJECT))
                except ConfigurationError:
                    failure(Flags())
                else:
                    theirs = (client.base_url, name, client._token)
                    assert where(connect(Flags())) == theirs, env
                cases += 1
    assert cases == 16


def test_a_server_without_its_token_is_not_used_and_said_so(config: Path) -> None:
    connection = connect(Flags(), {URL: "https://env.example"}, config)
    assert where(connection) == (ONE, "main", "token-main")
    assert "DSTACK_SERVER_URL is not used" in connection.warnings[0]


def test_the_file_is_not_opened_when_the_environment_says_all(tmp_path: Path) -> None:
    assert connect(Flags(), ENV, tmp_path / "missing.yml").project == "envproject"


def test_a_token_never_goes_to_another_server(config: Path) -> None:
    error = failure(Flags(server_url="https://three.example", project="main"), ENV, config)
    assert error.message == f"{config} has no token for https://three.example."
    error = failure(Flags(server_url=TWO, project="main"), {}, config)
    assert "Project main" in error.message
    assert "prod" in error.hint


def test_a_token_file_wins(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("  token-flag\n")
    file.chmod(0o600)
    connection = connect(Flags(token_file=file), {TOKEN: "token-env"}, config)
    assert where(connection) == (ONE, "main", "token-flag")
    assert connection.sources.token == str(file)
    connection = connect(Flags(token_file=file, project="p"), {URL: "https://env.example"}, config)
    assert where(connection) == ("https://env.example", "p", "token-flag")
    assert "can't be read" in failure(Flags(token_file=tmp_path / "none"), {}, config).message
    file.write_text("\n")
    assert "is empty" in failure(Flags(token_file=file), {}, config).message
    file.write_text("two\nlines")
    assert "characters" in failure(Flags(token_file=file), {}, config).message


def test_a_token_is_not_in_the_repr(config: Path) -> None:
    assert "token-main" not in repr(connect(Flags(), {}, config))


def test_no_config(tmp_path: Path) -> None:
    error = failure(Flags(), {}, tmp_path / "config.yml")
    assert error.message == f"There is no dstack configuration at {tmp_path}/config.yml."
    assert "dstack project add" in error.hint
    assert "DSTACK_SERVER_URL" in error.hint
    error = failure(Flags(server_url=ONE, project="main"), {}, tmp_path / "config.yml")
    assert error.message.startswith(f"No token is known for {ONE}.")
    assert "--token-file" in error.hint


@pytest.mark.parametrize("text", ["", "projects: []\n"])
def test_an_empty_config(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yml"
    path.write_text(text)
    assert failure(Flags(), {}, path).message == f"No project is configured in {path}."


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("projects:\n- name: a\n  token: token-main\n url: x\n", "line 4"),
        ("projects:\n\t- a", "line 2"),
        ("projects: [\x1b]", "not valid YAML"),
        ("just text", "the top level"),
        ("projects: 3", "projects is wrong"),
        ("projects: [{name: a, url: u}]", "projects[0].token is wrong (it is missing)"),
        ("projects: [{name: [], url: u, token: token-main}]", "projects[0].name"),
        ("projects: [{name: a, url: u, token: {token-main: 1}}]", "projects[0].token"),
    ],
)
def test_a_broken_config(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "config.yml"
    path.write_text(text)
    error = failure(Flags(), {}, path)
    assert words in error.message
    assert str(path) in error.message


def test_bytes_that_are_not_text(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_bytes(b"projects: \xff\xfe\xfa")
    assert "not valid YAML" in failure(Flags(), {}, path).message


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_config(config: Path) -> None:
    config.chmod(0)
    assert "can't be read: Permission denied" in failure(Flags(), {}, config).message


def test_a_folder_in_place_of_the_config(tmp_path: Path) -> None:
    assert "can't be read: Is a directory" in failure(Flags(), {}, tmp_path).message


def test_an_unknown_project_names_those_that_exist(config: Path) -> None:
    error = failure(Flags(project="prud"), {}, config)
    assert error.message == f"Project prud (--project) is not in {config}."
    assert error.hint == "Did you mean prod? Configured: main, prod."


def test_no_default(tmp_path: Path) -> None:
    path = write(tmp_path / "config.yml", [{**MAIN, "default": False}, PROD])
    error = failure(Flags(), {}, path)
    assert error.message == f"No project in {path} is the default."
    assert "main, prod" in error.hint


def test_environment_without_a_project(config: Path) -> None:
    error = failure(Flags(), {**ENV, PROJECT: ""}, config)
    assert "no project is named" in error.message


def test_hostile_names_are_cleaned(tmp_path: Path) -> None:
    path = write(tmp_path / "config.yml", [{**PROD, "name": "a\x1b]0;x\x07\n\u202eb"}])
    hint = failure(Flags(project="\x1b[31mx"), {}, path).hint
    message = failure(Flags(project="\x1b[31mx"), {}, path).message
    for text in (hint, message):
        assert text.isprintable()
    assert failure(Flags(project="a\x1b]0;x\x07\n\u202eb"), {}, path).message.isprintable()
    assert "can't be the name" in failure(Flags(project="a/../b"), ENV, path).message


@pytest.mark.parametrize(
    "name",
    ["http://dstack.example", "http://10.0.0.1:3000", "http://localhost.evil.example", "HTTP://x"],
)
def test_plain_http_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "config.yml", [{**MAIN, "url": name}])
    error = failure(Flags(), {}, path)
    assert "unencrypted" in error.message
    assert "--insecure-http" in error.hint
    assert connect(Flags(insecure_http=True), {}, path).url == name
    assert "unencrypted" in failure(Flags(), {**ENV, URL: name}, path).message


@pytest.mark.parametrize(
    "name",
    ["http://localhost:3000", "http://127.0.0.1", "http://127.9.9.9:1", "http://[::1]:3000"],
)
def test_plain_http_on_this_machine_is_fine(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "config.yml", [{**MAIN, "url": name + "/"}])
    assert connect(Flags(), {}, path).url == name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dstack.example", "does not begin with"),
        ("ftp://dstack.example", "does not begin with"),
        ("http+unix:///run/dstack.sock", "does not begin with"),
        ("https://", "begin with|names no host"),
        ("https://:3000", "names no host"),
        ("https://host:port", "is not an address"),
        ("https://host:99999", "is not an address"),
        ("https://[::1", "is not an address"),
        ("https://a b", "spaces"),
        ("https://a\x1b[2J", "control characters"),
        ("https://user:token-main@host", "user name or password"),
        ("https://host?x=1", "query"),
        ("", "is empty"),
    ],
)
def test_bad_addresses(tmp_path: Path, name: str, words: str) -> None:
    path = write(tmp_path / "config.yml", [{**MAIN, "url": name}])
    error = failure(Flags(), {}, path)
    assert any(word in error.message for word in words.split("|")), error.message
    assert str(error).isprintable()
    assert failure(Flags(project="x", server_url=name or " "), {}, path).message
