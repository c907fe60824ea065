"""Files of settings as `dstack` writes them, and what is said where they fail."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dstack_api_client.connect.connection import ConfigError
from dstack_api_client.connect.discovery import connect

MAIN = {"name": "main", "url": "https://one.example/", "token": "token-main", "default": True}


PROD = {"name": "prod", "url": "https://two.example:8443", "token": "token-prod"}


def write(path: Path, projects: object) -> Path:
    repos = [{"path": "/x", "repo_id": "x", "repo_type": "local"}]  # older versions wrote these
    path.write_text(yaml.safe_dump({"projects": projects, "repos": repos}))
    path.chmod(0o600)
    return path


def failure(*args: object, **options: object) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        connect(*args, **options)  # type: ignore[arg-type]
    assert caught.value.message.endswith(".")
    assert caught.value.hint
    for secret in ("token-main", "token-prod", "token-env", "token-flag"):
        assert secret not in str(caught.value)
    return caught.value
