"""Work that takes the processor for long, done beside the server's loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Made = TypeVar("Made")

# Few: all of them share the interpreter with the loop. Not dstack's own, which wait for clouds.
_threads = ThreadPoolExecutor(2, thread_name_prefix="placement")


async def in_thread(work: Callable[[], Made]) -> Made:
    """What the work returns.

    Args:
        work: It reads and changes nothing that the loop changes meanwhile.
    """
    return await asyncio.get_running_loop().run_in_executor(_threads, work)
