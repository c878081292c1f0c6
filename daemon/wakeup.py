"""Notifications from PostgreSQL, whoever wrote the rows. They only make things quick: polling finds all they miss."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from daemon.errors import StoreError
from daemon.store import database

log = logging.getLogger(__name__)

PENDING, CANCEL, FINISHED = "jsruntime_pending", "jsruntime_cancel", "jsruntime_finished"

_RECONNECT_SECONDS = 1.0
_CHECK_SECONDS = 15.0
"""How often the connection is asked whether it lives: one that died silently would never say."""


class Wakeup:
    """Listens on a connection of its own and calls the handler of each channel with the payload."""

    def __init__(self, dsn: str, handlers: dict[str, Callable[[str], None]], on_connect: Callable[[], None]) -> None:
        """`on_connect` is called after each (re)connection: what was notified meanwhile is lost."""
        self._dsn = dsn
        self._handlers = handlers
        self._on_connect = on_connect

    async def run(self) -> None:
        """Listen for ever, and connect again whenever that ends."""
        while True:
            try:
                await self._listen()
            except (StoreError, OSError) as failure:
                log.warning("no notifications, polling only: %s", failure)
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _listen(self) -> None:
        connection = await database.connect(self._dsn)
        try:
            ended = asyncio.Event()
            connection.add_termination_listener(lambda _connection: ended.set())
            with database.translated():
                for channel in self._handlers:
                    await connection.add_listener(channel, self._notified)
            self._on_connect()
            while not ended.is_set():
                try:
                    await asyncio.wait_for(ended.wait(), _CHECK_SECONDS)
                except TimeoutError:
                    with database.translated():
                        await connection.execute("SELECT 1", timeout=_CHECK_SECONDS)
        finally:
            connection.terminate()

    def _notified(self, _connection: object, _pid: int, channel: str, payload: object) -> None:
        self._handlers[channel](str(payload))
