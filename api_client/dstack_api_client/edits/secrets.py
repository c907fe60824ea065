"""Which fields may hold something secret: masked on screens, and never written to disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dstack_api_client.edits.fields import Path

#: Fields whose values are secret, whatever is below them.
_SECRET = frozenset({"env", "registry_auth", "ssh_config", "ssh_key", "ssh_key_pub"})
#: Last steps of a path that name a secret.
_SECRET_KEYS = frozenset({"password", "private", "token", "auth_token"})
#: Fields in which people write secrets though they should not: shown, and never kept.
_RISKY = frozenset(
    {"commands", "entrypoint", "init", "setup", "probes", "files", "repos", "repo_data", "volumes"}
    | {"backend_options", "rate_limits", "url"}
)


def is_secret(path: Path) -> bool:
    """Whether a field's value must not be shown."""
    return bool(_SECRET.intersection(path)) or path[-1] in _SECRET_KEYS


def may_be_kept(path: Path) -> bool:
    """Whether a field's value may be written to disk."""
    return not is_secret(path) and not _RISKY.intersection(path)


def keepable(values: Mapping[Path, Any]) -> dict[Path, Any]:
    """Those of the fields whose values may be written to disk."""
    return {path: value for path, value in values.items() if may_be_kept(path)}
