from __future__ import annotations

from tests.ipc.conftest import daemon, socket_path

__all__ = ["daemon", "socket_path"]
