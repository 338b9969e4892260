"""Tasks that run in the background of an event loop, and their end."""

import asyncio
from collections.abc import Sequence

__all__ = ["end_tasks", "of_this_loop"]

Tasks = Sequence["asyncio.Task[None]"]


def of_this_loop(tasks: Tasks) -> list["asyncio.Task[None]"]:
    """Those of the running event loop; another loop, which is closed, took its tasks along."""
    here = asyncio.get_running_loop()
    return [task for task in tasks if task.get_loop() is here]


async def end_tasks(tasks: Tasks) -> None:
    """Cancel them, and wait until they have ended, however they do."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
