"""`plan`, `apply` and `undo` of a fleet of SSH hosts: what is said of its keys, the way back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from dstack_api_client.edits.store.keeping import Store
from dstack_fleets_tui.cli.main import main
from tests.builders.audit_log import ends
from tests.builders.changing_server import FleetServer
from tests.builders.hurried_edits import hurry
from tests.builders.ssh_fleet_edit import PRIVATE, base
from tests.servers.faulty_proxy import proxy_in_a_thread


class _HostServer(FleetServer):
    """A server whose only fleet wants its key with each plan."""

    @property
    def hosts(self) -> list[str]:
        ssh = self.configuration["ssh_config"]
        return [each if isinstance(each, str) else each["hostname"] for each in ssh["hosts"]]

    def _answer(self, path: str, query: dict[str, Any]) -> httpx.Response:
        if path.endswith(("/fleets/get_plan", "/fleets/apply")):
            spec = query["plan"]["spec"] if "plan" in query else query["spec"]
            assert spec["configuration"]["ssh_config"].pop("ssh_key")["private"] == PRIVATE
        return super()._answer(path, query)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    key = tmp_path / "lab_key"
    key.write_text(PRIVATE)
    key.with_name("lab_key.pub").write_text("ssh-ed25519 AAAA me\n")
    return key


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: Path) -> Iterator[_HostServer]:
    hurry(monkeypatch)
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    configuration = dict(base("10.0.0.1", "10.0.0.2", identity_file=str(key)).configuration)
    with proxy_in_a_thread(_HostServer("lab", configuration)) as proxy:
        monkeypatch.setenv("DSTACK_SERVER_URL", proxy.url)
        monkeypatch.setenv("DSTACK_PROJECT", "main")
        monkeypatch.setenv("DSTACK_TOKEN", "secret-token")
        assert isinstance(proxy.server, _HostServer)
        yield proxy.server


def test_keys_are_named_before_they_are_sent_and_undo_takes_hosts_back(
    server: _HostServer, key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    says = f"The key in {key} is read and sent to the server, and not kept here."
    file = tmp_path / "lab.dstack.yml"
    ssh = {"user": "ubuntu", "identity_file": str(key), "hosts": ["10.0.0.1", "10.0.0.3"]}
    file.write_text(yaml.safe_dump({"type": "fleet", "name": "lab", "ssh_config": ssh}))

    assert main(["plan", "lab", "-f", str(file)]) == 2
    assert capsys.readouterr().err.splitlines()[0] == says
    assert main(["apply", "lab", "-f", str(file), "--yes"]) == 0
    assert capsys.readouterr().err.splitlines()[0] == says
    assert server.hosts == ["10.0.0.1", "10.0.0.3"]

    # By its name alone, since no change to a service `lab` is known here.
    assert main(["undo", "lab", "--yes"]) == 0
    told = capsys.readouterr()
    assert says in told.err.splitlines()
    assert "Plan for fleet lab" in told.out
    assert server.hosts == ["10.0.0.1", "10.0.0.2"]
    # Twice is forth again.
    assert main(["undo", "lab", "--fleet", "--yes"]) == 0
    assert server.hosts == ["10.0.0.1", "10.0.0.3"]
    assert [end["action"] for end in ends(Store.default().audit_path)] == ["apply", "undo", "undo"]


def test_undo_of_a_fleet_of_which_no_change_is_known(
    server: _HostServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["undo", "lab", "--fleet", "--yes"]) == 1
    assert "No change to lab that could be undone is known here" in capsys.readouterr().err
    assert main(["undo", "lab", "--yes"]) == 1
    assert capsys.readouterr().err.endswith("`--fleet` undoes what was changed of a fleet.\n")
    assert server.writes == []
