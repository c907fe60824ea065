"""`plan -f` of the file that a service was applied from: in every form it changes nothing.

What dstack's command line and its server make of the file is made by dstack's own code.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dstack_api_client.edits.base.base import Base
from dstack_api_client.edits.base.difference import NotInPlaceError
from dstack_api_client.edits.errors import InvalidEditError
from dstack_api_client.edits.outlook.warnings import contents_notes
from dstack_api_client.edits.service import texts
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.edits.spec import references
from dstack_api_client.transport.client import Client
from tests.builders.service_edits import STOCK, base

SHELL = {"REG_KEY": "reg-1", "PROBE_KEY": "probe-1", "MODEL": "acme/answers"}
HEAD = "type: service\nname: chat\nport: 8000\nresources: {gpu: 'H100:8'}\n"
ONE = f"{HEAD}commands: [serve]\n"


@pytest.fixture
def client(dstack: ModuleType) -> Client:
    return Client("http://server", "t", transport=httpx.MockTransport(dstack.planned))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the file and what it names are; its shell has the variables."""
    (tmp_path / "serve.py").touch()
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/a.yml").touch()
    for name, value in SHELL.items():
        monkeypatch.setenv(name, value)
    return tmp_path


async def _edited(
    client: Client, before: Base, text: str, shell: Mapping[str, str] = SHELL
) -> ServiceEdit:
    return await texts.with_file(client, ServiceEdit.begin(before, STOCK), text, shell)


FORMS = {
    "variables as a list": f"{ONE}env: [REG_KEY, PLAIN=1, EMPTY=, 'EQUALS=a=b']\n",
    "variables as a mapping": f"{ONE}env: {{PORT: 8080, RATIO: 1.10, TEXT: 'yes', EMPTY: ''}}\n",
    "references to variables": f"""{ONE}
env: [REG_KEY, PROBE_KEY]
image: registry.acme.test/serving:4
registry_auth: {{username: robot, password: '${{{{ env.REG_KEY }}}}'}}
probes:
  - type: http
    url: /health?key=${{{{env.PROBE_KEY}}}}
    method: post
    body: '{{"cost": "$$5", "key": "${{{{ env.PROBE_KEY }}}}"}}'
    headers: [{{name: X-Probe-Key, value: '${{{{ env.PROBE_KEY }}}}'}}]
""",
    "references to secrets": f"""{ONE}
image: registry.acme.test/serving:4
registry_auth: {{username: robot, password: '${{{{ secrets.registry }}}}'}}
""",
    "dollars in commands": (
        f"{HEAD}commands: ['kill $$', 'echo $HOME $$', 'serve ${{{{ run.args }}}} x', 'cost $']\n"
    ),
    "addresses in commands": f"""{HEAD}
groups:
  - {{name: head, replicas: 1, commands: [head]}}
  - replicas: 2
    commands: ['peer --head ${{{{ groups[0].replicas[0].IP_ADDRESS }}}} --pid $$']
""",
    "files": f"{ONE}files: [serve.py, 'conf/a.yml:/etc/a.yml', {{local_path: conf, path: c}}]\n",
    "files from elsewhere": f"{ONE}files: [./serve.py, 'conf/../serve.py:other.py', '.:/all']\n",
    "repos": f"{ONE}repos: [.]\n",
    "repos with a path": f"{ONE}repos: ['../lib:/lib']\n",
    "repos by address": f"{ONE}repos: ['https://git.acme.test/a/b.git:/b']\n",
    "repos over SSH": f"{ONE}repos: ['git@git.acme.test:a/b.git']\n",
    "repos in long form": f"{ONE}repos: [{{url: 'https://git.acme.test/a/b', branch: main}}]\n",
    "groups in the old form": f"""{HEAD}
replicas:
  - {{count: 1, commands: [head, 'kill $$']}}
  - {{name: rest, count: 1..4, scaling: {{metric: rps, target: 3}}, commands: [peer]}}
""",
    "groups": f"""{HEAD}
groups:
  - {{replicas: 2, commands: [peer], python: 3.10, spot_policy: spot}}
""",
    "a range": f"{ONE}replicas: 1..4\nscaling: {{metric: rps, target: 3, scale_up_delay: 5m}}\n",
    "ports": f"{ONE}".replace("8000", "'8001:8000'"),
    "a port on any": f"{ONE}".replace("8000", "'80:8000'"),
    "volumes": f"{ONE}volumes: ['data:/data', '/mnt/cache:/cache', {{name: [a, b], path: /ab}}]\n",
    "resources": (
        "type: service\nname: chat\nport: 8000\ncommands: [serve]\nresources:"
        " {cpu: 'x86:8..', memory: 64GB.., shm_size: 16GB, disk: 100GB, gpu: '24GB..80GB:1..2'}\n"
    ),
    "GPUs by name": ONE.replace("'H100:8'", "{name: [H100, H200], count: 8, memory: 80GB..}"),
    "GPUs by number": ONE.replace("'H100:8'", "4"),
    "durations": (
        f"{ONE}max_duration: 1d\nstop_duration: off\nidle_duration: 90m\n"
        "probes: [{type: http, interval: 5s, timeout: 1}]\n"
    ),
    "retries": f"{ONE}retry: {{on_events: [no-capacity], duration: 2h}}\n",
    "a plain retry": f"{ONE}retry: true\n",
    "a model": f"{ONE}model: acme/answers\n",
    "a model in long form": f"{ONE}model: {{type: chat, name: a, format: tgi}}\n",
    "fleets": f"{ONE}fleets: [bay, other/shared, {{name: spot}}]\n",
    "a gateway": f"{ONE}gateway: main\nhttps: auto\n",
    "no gateway": f"{ONE}gateway: false\nauth: off\n",
    "rates": f"{ONE}rate_limits: [{{rps: 5}}, {{prefix: /v1, rps: 0.5, burst: 3}}]\n",
    "profile fields": f"{ONE}spot_policy: auto\nmax_price: 3\nregions: [eu]\ntags: {{a: b}}\n",
    "anchors": f"""{HEAD}
groups:
  - &head
    name: head
    replicas: 1
    commands: &run [serve]
    resources: &gpu {{gpu: 'H100:8'}}
  - <<: *head
    name: tail
    replicas: 2
""",
}


@pytest.mark.parametrize("form", FORMS)
async def test_the_file_it_was_applied_from_changes_nothing(
    client: Client, dstack: ModuleType, folder: Path, form: str
) -> None:
    before = dstack.applied(FORMS[form], folder / "service.dstack.yml")
    same = await _edited(client, before, FORMS[form])
    assert same.changes == {}
    count = "" if "replicas:" in FORMS[form] else "replicas: 3\n"
    more = await _edited(client, before, f"{FORMS[form]}{count}priority: 7\n")
    wanted = {("configuration", "priority"), ("configuration", "replicas")}
    assert set(more.changes) == (wanted if count else {("configuration", "priority")})


async def test_values_come_from_the_shell_or_stay(
    client: Client, dstack: ModuleType, folder: Path
) -> None:
    text = FORMS["references to variables"]
    before = dstack.applied(text, folder / "service.dstack.yml")
    assert before.configuration["probes"][0]["headers"][0]["value"] == "probe-1"
    assert (await _edited(client, before, text, {})).changes == {}
    changed = await _edited(client, before, text, {**SHELL, "PROBE_KEY": "probe-2"})
    probe = changed.configuration["probes"][0]
    assert probe["headers"][0]["value"] == "probe-2"
    assert probe["url"] == "/health?key=probe-2"
    assert probe["body"] == '{"cost": "$5", "key": "probe-2"}'
    assert changed.configuration["registry_auth"]["password"] == "reg-1"


async def test_files_of_another_checkout_are_the_same_files(
    client: Client, dstack: ModuleType, folder: Path
) -> None:
    text = FORMS["files"]
    before = dstack.applied(text, folder / "service.dstack.yml")
    stored = before.configuration["files"]
    assert stored[0] == {"local_path": str(folder / "serve.py"), "path": "serve.py"}
    same = await _edited(client, before, text)
    assert same.configuration["files"] == stored
    (note,) = contents_notes(same)
    assert note.line.startswith("What `files` name is not compared and stays as it is")
    assert contents_notes(ServiceEdit.begin(base(), STOCK)) == []


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("files: [other.py]", "files"),
        ("files: ['serve.py:/elsewhere']", "files"),
        ("files: [serve.py, serve.py]", "files"),
        ("commands: [serve]", "files"),
        ("files: [serve.py]\nrepos: ['.:/other']", "repos"),
        ("files: [serve.py]\nrepos: [{local_path: ., branch: other}]", "repos"),
    ],
)
async def test_other_files_and_repos_are_refused(
    client: Client, dstack: ModuleType, folder: Path, text: str, key: str
) -> None:
    before = dstack.applied(f"{ONE}files: [serve.py]\nrepos: [.]\n", folder / "service.dstack.yml")
    with pytest.raises(NotInPlaceError, match=f"`{key}` can't be changed here"):
        await _edited(client, before, f"{HEAD}{text}\n")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "registry_auth: {username: a, password: '${{ env.NONE }}'}",
            "In `registry_auth`: ${{ env.NONE }} has no value. Add the variable to `env`.",
        ),
        (
            "probes: [{type: http, url: '/${{ env.A }'}]",
            (
                "In `probes`: A reference begins with ${{ and does not end with }}."
                " Write it as ${{ env.NAME }} or ${{ secrets.NAME }}."
            ),
        ),
        (
            "commands: ['serve ${{ env.REG_KEY }}']",
            "In `commands`: ${{ env.REG_KEY }} has no value. Commands have the variables as $NAME.",
        ),
        ("env: [A=1, A=2]", "The variable A stands in `env` twice. Leave one of them."),
        ("env: {A: true}", "The value of A in `env` is not text. Put it in quotes."),
        (
            "files: ['a:b:c']",
            "`files` has a:b:c. Write the local path, a colon and the path there.",
        ),
    ],
)
async def test_what_dstack_refuses_is_refused(
    client: Client, dstack: ModuleType, folder: Path, text: str, sentence: str
) -> None:
    before = dstack.applied(ONE, folder / "service.dstack.yml")
    with pytest.raises(InvalidEditError) as refused:
        await _edited(client, before, f"{HEAD}env: [REG_KEY]\n{text}\n")
    assert refused.value.lines == (sentence,)
    with pytest.raises(dstack.REFUSED):
        dstack.applied(f"{ONE}env: [REG_KEY]\n{text}\n", folder / "service.dstack.yml")


async def test_references_typed_in_the_editor_are_filled_in(
    client: Client, dstack: ModuleType, folder: Path
) -> None:
    before = dstack.applied(
        f"{ONE}env: [PROBE_KEY]\nprobes: [{{type: http, url: /$$a}}]\n", folder / "a.dstack.yml"
    )
    begun = ServiceEdit.begin(before, STOCK)
    text = texts.as_text(begun)
    assert "url: /$a" in text
    changed = await texts.with_text(
        client, begun, text.replace("url: /$a", "url: /$a/${{ env.PROBE_KEY }}"), SHELL
    )
    assert changed.configuration["probes"][0]["url"] == "/$a/probe-1"
    named = text.replace("PROBE_KEY: '********'", "PROBE_KEY: '********'\n  MODEL:")
    assert named != text
    more = await texts.with_text(client, begun, named, SHELL)
    assert more.configuration["env"] == {"PROBE_KEY": "probe-1", "MODEL": "acme/answers"}
    with pytest.raises(InvalidEditError, match="MODEL of `env` has no value"):
        await texts.with_text(client, begun, named)


_PIECES = st.sampled_from(
    [
        *("$", "$$", "${{", "}}", "${{env.A}}", "x", "1.2", "env", "env.", "env.A", "env.B"),
        *("run.args", "secrets", "secrets.a", "groups[0].x", "groups[0].replicas[1].IP_ADDRESS"),
    ]
)
_VALUES = {"env": {"A": "one$$", "_b": "${{ env.A }}"}, "run": {"args": ""}}


@given(pieces=st.lists(_PIECES, max_size=8), between=st.sampled_from(["", " "]))
def test_references_are_filled_in_as_dstack_does(
    dstack: ModuleType, pieces: list[str], between: str
) -> None:
    text = between.join(pieces)
    theirs = dstack.filled(text, _VALUES)
    values = {f"{space}.{name}": v for space, each in _VALUES.items() for name, v in each.items()}
    if theirs is None:
        with pytest.raises(references.BadReferenceError):
            references.filled(text, values, references.SECRETS_AND_ADDRESSES)
    else:
        found = references.filled(text, values, references.SECRETS_AND_ADDRESSES)
        assert found == theirs
