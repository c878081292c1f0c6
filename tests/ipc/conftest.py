from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon.ipc_server import IpcServer
from tests.ipc.memory_daemon import MemoryDaemon


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    return tmp_path / "jsruntime.sock"


@pytest.fixture
async def daemon(socket_path: Path) -> AsyncIterator[MemoryDaemon]:
    """A daemon whose executions are in a dict, listening at `socket_path`."""
    memory = MemoryDaemon()
    async with IpcServer(memory, path=socket_path, version="1.2.3", daemon_id="d-1"):
        yield memory
