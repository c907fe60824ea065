"""Ports that can be dialled, and what keeps them from it."""

from __future__ import annotations

import asyncio

import pytest

from dstack_simulator.hosts.network import AddressBlock, Network


class Hello(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")


async def dialled(network: Network, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(network.address, port)
    try:
        return await reader.readexactly(5)
    finally:
        writer.close()


async def test_a_port_that_is_walled_off_is_reached_by_tunnels_only() -> None:
    block = AddressBlock()
    network = Network(block.host_address())
    try:
        await network.open_for_all(8000, Hello)
        assert await dialled(network, 8000) == b"hello"
        await network.wall_off(8000, True)
        with pytest.raises(ConnectionRefusedError):
            await dialled(network, 8000)
        assert await network.connect(8000) is Hello
        # Also one that is opened again, and when the host comes back meanwhile.
        await network.close_port(8000)
        await network.open_for_all(8000, Hello)
        await network.set_reachable(False)
        await network.set_reachable(True)
        with pytest.raises(ConnectionRefusedError):
            await dialled(network, 8000)
        await network.wall_off(8000, False)
        assert await dialled(network, 8000) == b"hello"
        await network.set_reachable(False)
        with pytest.raises(ConnectionRefusedError):
            await dialled(network, 8000)
    finally:
        await network.close()
        block.release()
