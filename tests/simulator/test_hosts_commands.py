"""What a host does when the real code of dstack's server takes it in."""

import asyncio

import asyncssh
import pytest
from dstack._internal.core.backends.base.authorized_keys import get_add_authorized_keys_script
from dstack._internal.core.models.instances import RemoteConnectionInfo, SSHKey
from dstack._internal.server.background.pipeline_tasks.instances.common import ssh_keys_to_pkeys
from dstack._internal.server.background.pipeline_tasks.instances.ssh_deploy import _deploy_instance
from dstack._internal.server.services.ssh_fleets.provisioning import host_info_to_instance_type

from dstack_simulator.hosts import GpuSpec
from tests.builders.emulated_hosts import open_site


async def test_dstack_takes_in_a_host() -> None:
    new_key = asyncssh.generate_private_key("ssh-ed25519")
    new_public = new_key.export_public_key("openssh").decode()
    async with open_site() as site:
        host = await site.host(kind="ssh", cpus=12, gpu=GpuSpec("A100", 40, 4))
        key = SSHKey(public=site.public, private=site.private)
        details = RemoteConnectionInfo(
            host=host.address, port=host.ssh_port, ssh_user="ubuntu", ssh_keys=[key]
        )
        check, info, arch = await asyncio.to_thread(
            _deploy_instance, details, ssh_keys_to_pkeys([key]), None, [site.public, new_public]
        )
        assert check.reachable
        assert host.accepts(new_key)
        resources = host_info_to_instance_type(info, arch).resources
        assert (resources.cpus, resources.memory_mib) == (12, 1024 * 1024)
        assert [(gpu.name, gpu.memory_mib) for gpu in resources.gpus] == [("A100", 40960)] * 4
        assert info["addresses"] == [f"{host.address}/8"]
        assert host.commands.unknown == []
        assert "DSTACK_SHIM_HTTP_PORT" in (host.files / "root/.dstack/shim.env").read_text()
        assert not list((host.files / "tmp").iterdir())


async def test_a_jump_host_leads_to_the_others_of_its_pool() -> None:
    async with open_site() as site:
        jump, inner = await site.host("jump"), await site.host("inner", cpus=3)
        options = {"client_keys": [site.key], "known_hosts": None, "username": "root"}
        async with (
            asyncssh.connect(jump.address, jump.ssh_port, **options) as outer,
            asyncssh.connect(inner.address, inner.ssh_port, tunnel=outer, **options) as connection,
        ):
            result = await connection.run("sudo cat /root/.dstack/host_info.json")
            assert '"cpus": 3' in str(result.stdout)
            with pytest.raises(asyncssh.ChannelOpenError):
                await outer.open_connection("127.0.0.1", 1)


async def test_an_unknown_command_fails_and_is_kept() -> None:
    async with open_site() as site:
        host = await site.host()
        result = host.run("reboot now")
        assert (result.exit_status, result.stderr) == (127, "sh: reboot: command not found\n")
        assert host.commands.unknown == ["reboot now"]


async def test_a_stranger_is_refused_and_the_script_that_adds_keys_lets_in() -> None:
    stranger = asyncssh.generate_private_key("ssh-ed25519")
    async with open_site() as site:
        host = await site.host()

        async def log_in() -> None:
            async with asyncssh.connect(
                host.address, host.ssh_port, client_keys=[stranger], known_hosts=None,
                username="ubuntu",
            ):  # fmt: skip
                pass

        with pytest.raises(asyncssh.PermissionDenied):
            await log_in()
        public = stranger.export_public_key().decode()
        assert host.run(get_add_authorized_keys_script([public])).exit_status == 0
        await log_in()


async def test_files_stay_in_the_hosts_folder() -> None:
    async with open_site() as site:
        host = await site.host()
        with pytest.raises(ValueError, match="leaves"):
            host.run("sudo test -e /../../etc/hostname && sudo rm /../../etc/hostname")


async def test_before_the_shim_starts_there_is_no_host_info() -> None:
    async with open_site() as site:
        host = await site.host(kind="ssh")
        assert host.run("sudo cat /root/.dstack/host_info.json").exit_status == 1
        assert host.run("curl -s http://localhost:10998/api/healthcheck").stdout == ""
        host.start_shim()
        assert '"gpu_count": 8' in host.run("sudo cat /root/.dstack/host_info.json").stdout
