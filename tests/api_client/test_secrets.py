"""One list of what is secret: masked in every text, and kept where it was left alone."""

from __future__ import annotations

import json
from typing import Any

import httpx
import msgspec
import pytest
import yaml

from dstack_api_client.edits.base.difference import difference, shown
from dstack_api_client.edits.errors import InvalidEditError
from dstack_api_client.edits.service import texts
from dstack_api_client.edits.spec import fields
from dstack_api_client.edits.store import keeping
from dstack_api_client.model.capabilities import UNKNOWN
from dstack_api_client.model.configuration import MASK, as_yaml, readable
from dstack_api_client.secrets import has_secret, is_secret, keepable, masked, unmasked
from dstack_api_client.transport.client import Client
from tests.builders.service_edits import edit

KEYED: dict[str, Any] = {
    "commands": [
        "huggingface-cli login --token hunter2-a",
        "vllm serve acme/keyed --port 8000 --api-key hunter2-b",
        "curl -H 'Authorization: Bearer hunter2-c' https://me:hunter2-d@acme.example/x",
    ],
    "env": {"VLLM_KEY": "hunter2-e"},
    "registry_auth": {"username": "hunter2-f", "password": "hunter2-g"},
    "probes": [
        {"type": "http", "url": "/health",
         "headers": [{"name": "Authorization", "value": "Bearer hunter2-h"}]},
        {"type": "http", "url": "https://hunter2-i@acme.example/health"},
    ],
    "backend_options": [{"type": "kubernetes", "token": "hunter2-j", "more": ["hunter2-k"]}],
    "image": "https://user:hunter2-l@registry.example/x",
    "tags": {"env": "prod", "team": "nlp", "token": "cost-77", "private": "no", "password": "p q"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("serve --api-key abc", f"serve --api-key {MASK}"),
        ("serve --api-key=abc --port 1", f"serve --api-key={MASK} --port 1"),
        ("serve --api-key 'a-b' x", f"serve --api-key '{MASK}' x"),
        ("login --token \\\n  abc", f"login --token \\\n  {MASK}"),
        ("export HF_TOKEN=abc; x", f"export HF_TOKEN={MASK}; x"),
        ("AWS_SECRET_ACCESS_KEY=abc x", f"AWS_SECRET_ACCESS_KEY={MASK} x"),
        ('curl -H "X-API-Key: abc" x', f'curl -H "X-API-Key: {MASK}" x'),
        ("curl -H 'Authorization: Bearer abc'", f"curl -H 'Authorization: Bearer {MASK}'"),
        ("curl -u me:abc x", f"curl -u me:{MASK} x"),
        ("git clone https://abc@x.example/y", f"git clone https://{MASK}@x.example/y"),
        ("https://me:abc@x.example", f"https://me:{MASK}@x.example"),
        ("https://x.example/?sig=abc&x=1", f"https://x.example/?sig={MASK}&x=1"),
        ('{"api_key": "abc"}', f'{{"api_key": "{MASK}"}}'),
        ("PGPASSWORD=abc psql", f"PGPASSWORD={MASK} psql"),
        ("DB_PASS=abc x", f"DB_PASS={MASK} x"),
        ("serve --redis-pass abc", f"serve --redis-pass {MASK}"),
        ("tailscale up --authkey=abc", f"tailscale up --authkey={MASK}"),
        ("SECRET_KEY_BASE=abc", f"SECRET_KEY_BASE={MASK}"),
        ("serve --license-key abc", f"serve --license-key {MASK}"),
        ("curl -H 'X-Auth-Token: abc' x", f"curl -H 'X-Auth-Token: {MASK}' x"),
        ("curl -H 'x-goog-api-key: abc' x", f"curl -H 'x-goog-api-key: {MASK}' x"),
        ("curl -H 'Cookie: abc' x", f"curl -H 'Cookie: {MASK}' x"),
        ("docker login -u me -p abc reg.example", f"docker login -u me -p {MASK} reg.example"),
        ("sshpass -p abc ssh me@x", f"sshpass -p {MASK} ssh me@x"),
        ("redis-cli -h x -a abc ping", f"redis-cli -h x -a {MASK} ping"),
        ("mysqldump -u me -pabc db", f"mysqldump -u me -p{MASK} db"),
        ("wandb login --relogin abc", f"wandb login --relogin {MASK}"),
        (
            "aws configure set aws_secret_access_key abc",
            f"aws configure set aws_secret_access_key {MASK}",
        ),
        (
            "echo abc | docker login -u me --password-stdin",
            f"echo {MASK} | docker login -u me --password-stdin",
        ),
        (f"echo hf_{'a' * 30}", f"echo {MASK}"),
        (f"echo sk-{'a' * 30} y", f"echo {MASK} y"),
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str, shown: str) -> None:
    assert masked(text) == shown
    assert has_secret([{"a": text}])


@pytest.mark.parametrize(
    "text",
    [
        "vllm serve x --max-tokens 4096 --max-num-batched-tokens=8192 --tokenizer a/b",
        "MAX_TOKENS=1 serve",
        "serve --api-key $API_KEY",
        "serve --api-key ${API_KEY} --token '${{ secrets.hf }}' --password $(cat /run/p)",
        "git clone ssh://git@github.com/acme/x",
        "git+ssh://git@github.com/acme/x",
        "https://huggingface.co/acme/x@main",
        "pip install hf_transfer",
        "serve --token --port 8000",
        "PWD=/app serve --pass 2 --compass-pwd",
        "docker run -p 8000:8000 x && ssh -p 22 x && mkdir -p /x",
        "docker login reg.example && docker run -p 8000:8000 x",
        "docker login -u me -p $PASS reg.example",
        "wandb login",
        "mysql -u me db",
        "serve --primary-key id --cache-key a",
        "curl -H 'Content-Type: x' -H 'X-Token-Count: 5' x",
        "echo abc | tee x",
        "me@acme.example",
        "",
    ],
)
def test_what_is_no_secret_is_shown(text: str) -> None:
    assert masked(text) == text
    assert not has_secret(text)


def test_nothing_secret_is_in_the_yaml_and_tags_are() -> None:
    shown = yaml.safe_load(as_yaml(KEYED))
    assert "hunter2" not in as_yaml(KEYED)
    assert shown["tags"] == KEYED["tags"]
    assert shown["backend_options"] == [{"type": "kubernetes", "token": MASK, "more": [MASK]}]
    assert shown["probes"][0]["headers"] == [{"name": "Authorization", "value": MASK}]
    assert readable({"groups": [{"name": "env", "replicas": {"min": 1, "max": 1}}]})["groups"] == [
        {"name": "env", "replicas": 1}
    ]


@pytest.mark.parametrize(
    ("path", "secret"),
    [
        (("configuration", "env", "A"), True),
        (("configuration", "groups", "env", "replicas"), False),
        (("configuration", "fleets", "token", "priority"), False),
        (("configuration", "fleets", "password", "(order)"), False),
        (("configuration", "tags", "env"), False),
        (("configuration", "tags", "token"), False),
        (("configuration", "registry_auth", "username"), True),
        (("configuration", "backend_options"), True),
        (("configuration", "commands"), False),
    ],
)
def test_names_that_somebody_chose_are_no_fields(path: tuple[str, ...], secret: bool) -> None:
    assert is_secret(path) is secret


def test_no_secret_is_in_a_plan_an_audit_a_draft_or_a_way_back() -> None:
    begun = edit(**KEYED)
    other = json.loads(json.dumps(KEYED).replace("hunter2", "hunter3"))
    spec = {**begun.spec, "configuration": {**begun.configuration, **other}}
    changes = difference(begun.spec, spec, "service", UNKNOWN)
    assert {change.path[1] for change in changes} >= {"commands", "env", "probes", "image"}
    said = " ".join(f"{change.old} {change.new}" for change in changes)
    said += " ".join(keeping._logged(change, change.new) for change in changes)
    said += repr(keepable(fields.fields_of(spec)))
    assert "hunter" not in said


def test_a_tag_is_told_as_it_is_in_a_plan() -> None:
    begun = edit(**KEYED)
    tags = {**KEYED["tags"], "env": "staging"}
    spec = {**begun.spec, "configuration": {**begun.configuration, "tags": tags}}
    (change,) = difference(begun.spec, spec, "service", UNKNOWN)
    assert (change.name, change.old, change.new) == ("tags env", "prod", "staging")


def written(change: Any) -> Any:
    """The configuration after somebody changed its text."""
    raw = edit(**KEYED).configuration
    text = as_yaml(raw)
    data = yaml.safe_load(text)
    change(data)
    return texts.merged(raw, readable(raw), data)


def test_what_is_typed_beside_a_mask_keeps_the_secret() -> None:
    def change(data: dict[str, Any]) -> None:
        data["commands"][1] = data["commands"][1].replace("8000", "9000")
        data["commands"].insert(0, "echo first")
        data["commands"].append(f"other --api-key {MASK}")
        data["probes"][0]["url"] = "/ready"
        data["probes"][1]["url"] = f"https://{MASK}@acme.example/ready"
        data["image"] = f"https://user:{MASK}@registry.example/y"
        data["tags"]["env"] = "staging"

    made = written(change)
    assert made["commands"] == [
        "echo first",
        KEYED["commands"][0],
        "vllm serve acme/keyed --port 9000 --api-key hunter2-b",
        KEYED["commands"][2],
        "other --api-key hunter2-b",
    ]
    assert made["probes"] == [
        {**KEYED["probes"][0], "url": "/ready"},
        {**KEYED["probes"][1], "url": "https://hunter2-i@acme.example/ready"},
    ]
    assert made["image"] == "https://user:hunter2-l@registry.example/y"
    assert made["env"] == KEYED["env"]
    assert made["registry_auth"] == KEYED["registry_auth"]
    assert made["backend_options"] == KEYED["backend_options"]
    assert made["tags"] == {**KEYED["tags"], "env": "staging"}


@pytest.mark.parametrize("line", [f"other --new-token {MASK}", MASK, f"x{MASK}y"])
def test_a_mask_where_no_secret_was_is_refused(line: str) -> None:
    with pytest.raises(InvalidEditError, match="no secret was"):
        written(lambda data: data["commands"].append(line))


def test_a_mask_that_may_be_one_of_two_is_refused() -> None:
    known = ["a --token one", "b --token two"]
    assert unmasked(f"c --token {MASK}", known) is None
    assert unmasked(f"c --token {MASK}", known[:1]) == "c --token one"


HARMFUL = "a\u202eb\u200bc\U000e0041d\x1b[31me\ud800"


async def test_harmful_characters_do_not_reach_the_text_and_stay_as_they_were() -> None:
    raw = {"commands": [f"echo {HARMFUL}", "two"], HARMFUL: 1, "tags": {HARMFUL: HARMFUL}}
    begun = edit(**raw)
    text = texts.as_text(begun)
    assert not any(sign in text for sign in HARMFUL if not sign.isascii() or sign == "\x1b")

    def echo(request: httpx.Request) -> httpx.Response:
        asked = msgspec.json.decode(request.content)
        answer = {"action": "update", "job_plans": [], "effective_run_spec": asked["run_spec"]}
        return httpx.Response(200, json=answer)

    client = Client("http://server", "t", transport=httpx.MockTransport(echo))
    assert await texts.with_text(client, begun, text) is begun
    shown = readable(begun.configuration)
    changed = {**shown, "priority": 3, "commands": [shown["commands"][0], "three"]}
    made = texts.merged(begun.configuration, shown, changed)
    assert made["commands"] == [f"echo {HARMFUL}", "three"]
    assert made["tags"] == raw["tags"]
    assert made[HARMFUL] == 1
    assert made.keys() - begun.configuration.keys() == set()


def test_a_value_that_is_empty_or_says_nothing_is_none() -> None:
    for value in ([], {}, {"privileged": False}):
        assert shown(("configuration", "docker"), value, {}) == "none"
    assert shown(("configuration", "privileged"), False, {}) == "false"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x --password 'my pass 7' --port 1", f"x --password '{MASK}' --port 1"),
        ('PGPASSWORD="pg pass 5" psql', f'PGPASSWORD="{MASK}" psql'),
        ('--secret="se cret 8" -x', f'--secret="{MASK}" -x'),
        ("export OPENAI_API_KEY='oa key 11' && run", f"export OPENAI_API_KEY='{MASK}' && run"),
        (r'--password "it\'s \"my\" pass" -p 8', f'--password "{MASK}" -p 8'),
        ('curl -u "bob:my pass" http://x', f'curl -u "bob:{MASK}" http://x'),
        ("curl -u 'bob:my pass' x", f"curl -u 'bob:{MASK}' x"),
        ('echo "my pass" | docker login --password-stdin',
         f'echo "{MASK}" | docker login --password-stdin'),
        ('"api_key": "X y", "port": 8', f'"api_key": "{MASK}", "port": 8'),
        ("--api-key 'without an end", f"--api-key '{MASK}"),
        ('--token "$TOKEN" --token "" --port 8', '--token "$TOKEN" --token "" --port 8'),
        ("bash -c 'run --password abc; sleep 5'", f"bash -c 'run --password {MASK}; sleep 5'"),
    ],
)  # fmt: skip
def test_a_secret_in_quotes_is_masked_to_where_they_end(text: str, shown: str) -> None:
    assert masked(text) == shown
    assert unmasked(shown, [text]) == text
