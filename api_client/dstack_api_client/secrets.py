"""What is secret in a spec: one list, for every screen, text, plan and file.

Some fields are secret as a whole. In all others people write secrets though they should not, most
of all in commands and addresses: what looks like one is masked where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

#: Stands where a secret stood.
MASK = "********"

#: Fields whose values are secret, whatever is below them.
_SECRET = frozenset({"env", "registry_auth", "ssh_key", "ssh_key_pub", "backend_options"})
#: Names of fields that hold a secret wherever they are.
_SECRET_NAMES = frozenset({"password", "private", "token", "auth_token"})
#: Below a secret field, what says only of which kind it is.
_KINDS = frozenset({"type"})
#: Fields in which people write secrets though they should not: shown masked, and never kept.
_RISKY = frozenset(
    {"commands", "entrypoint", "init", "setup", "probes", "files", "repos", "repo_data", "volumes"}
    | {"rate_limits", "url", "ssh_config"}
)
#: Lists and mappings whose next step is a name that somebody chose, not a field.
_NAMED = frozenset({"fleets", "groups", "replicas", "hosts"})
#: The hosts of a fleet, each a value of its own below.
_HOSTS = ("configuration", "ssh_config", "hosts")
#: What is below these has names that somebody chose.
_CHOSEN = "tags"

#: One in quotes goes on to where they end, spaces and all.
_VALUE = (
    r"""["']?(?P<secret>(?!--)"""
    r"""(?:(?<=")(?:[^"\\\n]|\\.)+|(?<=')[^'\n]+|[^\s"'`;|&<>,]+))"""
)
#: Between a flag and its value; a command may go on in the next line.
_BETWEEN = r"(?:=|(?:\\?\s)+)"
_WORDS = (
    r"(?:token|(?:api|auth|license|signing|encryption|master|wandb)[-_]?key|passwd|\w{0,20}password"
    r"|passphrase|secret|secret[-_]?(?:access[-_]?)?key(?:[-_]?base)?|access[-_]?key(?:[-_]?id)?"
    r"|private[-_]?key|credentials?)"
)
#: These mean a secret only behind a name: DB_PASS, but not PWD or --pass 2.
_NAMED_WORDS = r"[\w-]{0,40}[a-z0-9][-_](?:pass|pwd)"
#: Tokens that are known by how they begin.
_KNOWN = (
    r"(?<![\w-])(?P<secret>hf_[a-z0-9]{20,}|sk-[\w-]{16,}|gh[pousr]_\w{16,}|github_pat_\w{16,}"
    r"|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}|AKIA[0-9A-Z]{12,}|nvapi-[\w-]{16,}"
    r"|eyJ[\w-]{10,}\.[\w-]{4,}\.[\w-]*)"
)
_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # --api-key X, --hf-token=X; not --max-tokens 4096
        rf"(?<!\S)--?(?:[\w-]+[-_])?{_WORDS}{_BETWEEN}{_VALUE}",
        rf"(?<!\S)--?{_NAMED_WORDS}{_BETWEEN}{_VALUE}",
        # HF_TOKEN=X, ?access_token=X
        rf"(?<![\w-])(?:\w+[-_])?{_WORDS}={_VALUE}",
        rf"(?<![\w-]){_NAMED_WORDS}={_VALUE}",
        # "api_key": "X", api_key: X, X-Auth-Token: X
        rf"""["']?(?<![\w-])(?:[\w-]{{1,40}}[-_])?(?:{_WORDS}|cookie)["']?\s*:\s*{_VALUE}""",
        # Authorization: Bearer X
        rf"(?:proxy-)?authorization\s*[:=]\s*(?:bearer|basic|token)?\s*{_VALUE}",
        rf"(?<!\w)bearer\s+{_VALUE}",
        # curl -u user:X
        r"(?<!\S)(?:-u|--user)(?:=|\s+)[\"']?[^\s:\"']+:(?P<secret>[^\s\"']+)",
        r"(?<!\S)(?:-u|--user)(?:=|\s+)\"[^\s:\"]+:(?P<secret>[^\"\n]+)",
        r"(?<!\S)(?:-u|--user)(?:=|\s+)'[^\s:']+:(?P<secret>[^'\n]+)",
        # docker login -p X, sshpass -p X, redis-cli -a X, mysql -pX, wandb login X
        rf"\blogin\s(?:[^\n;|&]{{0,200}}\s)?-p\s*{_VALUE}",
        rf"\bsshpass\s+-p\s*{_VALUE}",
        rf"\bredis-cli\s(?:[^\n;|&]{{0,200}}\s)?-a\s+{_VALUE}",
        rf"\bmysql\w*\s(?:[^\n;|&]{{0,200}}\s)?-p{_VALUE}",
        rf"\bwandb\s+login\s+(?:--\S+\s+)*{_VALUE}",
        # aws configure set aws_secret_access_key X
        rf"\bconfigure\s+set\s+\S*(?:secret_access_key|session_token)\s+{_VALUE}",
        # echo X | docker login --password-stdin
        rf"\becho\s+(?:-n\s+)?{_VALUE}[\"']?\s*\|[^\n;]{{0,200}}--password-stdin",
        # https://user:X@host, https://X@host; not ssh://git@host
        r"://[^/\s:@\"']*:(?P<secret>[^/\s@\"']+)@",
        r"(?<!ssh)://(?P<secret>[^/\s:@\"']+)@",
        r"[?&](?:sig|signature|x-amz-signature|x-amz-credential|key|auth)=(?P<secret>[^\s&\"'#]+)",
        _KNOWN,
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?P<secret>.*?)(?:-----END|\Z)",
    )
)
_PATTERNS = (*_PATTERNS[:-1], re.compile(_PATTERNS[-1].pattern, re.DOTALL))
#: What only names where a secret is: $TOKEN, ${TOKEN}, ${{ secrets.token }}, $(cat file).
_REFERENCE = re.compile(r"\$(?:\w|\{|\()")
#: What stands before a secret, by which a mask is known again.
_CONTEXT = re.compile(r"\S*\s*\Z")


def is_secret(path: Sequence[str]) -> bool:
    """Whether a field's value must not be shown.

    Args:
        path: The steps to it from a spec or a configuration, names of lanes and groups among them.
    """
    return is_secret_field(fields_in(path))


def is_secret_field(steps: Sequence[str]) -> bool:
    """The same for a path without the names of lanes and groups."""
    if not steps or _CHOSEN in steps or steps[-1] in _KINDS:
        return False
    if steps[-1] == "value" and "headers" in steps:
        return True
    return bool(_SECRET.intersection(steps)) or steps[-1] in _SECRET_NAMES


def may_be_kept(path: Sequence[str]) -> bool:
    """Whether a field's value may be written to disk."""
    steps = fields_in(path)
    if _CHOSEN in steps or (tuple(path[:3]) == _HOSTS and len(path) == len(_HOSTS) + 1):
        return True
    # Of the kinds of what is secret nothing is kept either.
    if _SECRET.intersection(steps) or _RISKY.intersection(steps):
        return False
    return not is_secret_field(steps)


def keepable(values: Mapping[tuple[str, ...], Any]) -> dict[tuple[str, ...], Any]:
    """Those of the fields whose values may be written to disk."""
    return {
        path: value
        for path, value in values.items()
        if may_be_kept(path) and not has_secret(value) and not names_secret(value)
    }


def names_secret(value: Any) -> bool:
    """Whether a value has a field below it that is secret by its name, such as a host's key."""
    if isinstance(value, Mapping):
        return any(
            (item is not None and is_secret_field([str(key)])) or names_secret(item)
            for key, item in value.items()
        )
    return isinstance(value, list | tuple) and any(map(names_secret, value))


def has_secret(value: Any) -> bool:
    """Whether a value holds what looks like a secret."""
    if isinstance(value, str):
        return bool(_spans(value))
    if isinstance(value, Mapping):
        return any(has_secret(each) for each in (*value.keys(), *value.values()))
    return isinstance(value, list | tuple) and any(has_secret(each) for each in value)


def masked(text: str) -> str:
    """A text with what looks like a secret masked."""
    for start, end in reversed(_spans(text)):
        text = f"{text[:start]}{MASK}{text[end:]}"
    return text


def unmasked(text: str, known: Iterable[str]) -> str | None:
    """A text that somebody wrote, with masks that were left alone as they were.

    Args:
        text: What was written.
        known: The texts of which masked ones were shown.

    Returns:
        The text; None where a mask stands that no secret, or more than one, was shown as.
    """
    secrets: dict[str, set[str]] = {}
    for each in known:
        for start, end in _spans(each):
            secrets.setdefault(_context(masked(each[:start])), set()).add(each[start:end])
    first, *rest = text.split(MASK)
    made = shown = first
    for part in rest:
        found = secrets.get(_context(shown), set())
        if len(found) != 1:
            return None
        made += f"{next(iter(found))}{part}"
        shown += f"{MASK}{part}"
    return made


def _context(before: str) -> str:
    found = _CONTEXT.search(before)
    return found[0].strip("\"'") if found is not None else ""


def _spans(text: str) -> list[tuple[int, int]]:
    """Where in a text secrets stand, in order."""
    found = sorted(
        match.span("secret")
        for pattern in _PATTERNS
        for match in pattern.finditer(text)
        if not _REFERENCE.match(match["secret"]) and match["secret"] != MASK
    )
    spans: list[tuple[int, int]] = []
    for start, end in found:
        if spans and start < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return spans


def fields_in(path: Sequence[str]) -> list[str]:
    """The path without the names of lanes and groups."""
    return list(_without_names(path))


def _without_names(path: Sequence[str]) -> Iterator[str]:
    is_name = False
    for step in path:
        if is_name:
            is_name = False
            continue
        yield step
        is_name = step in _NAMED
