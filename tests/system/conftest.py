"""A whole daemon for the tests: `jsruntime serve` as a process, on a database of its own, and a client for it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import asyncpg
import pytest

from daemon import postgres
from daemon.store import database, tenants
from ipc.client import AsyncClient
from tests.conftest import fresh_database

STARTED = b" serves, at most "


class RunningDaemon:
    """`jsruntime serve` with a configuration file in `folder`; its log is read until it serves."""

    def __init__(self, folder: Path, dsn: str, name: str = "daemon", **options: object) -> None:
        self.dsn = dsn
        self.socket = folder / f"{name}.sock"
        self._config = folder / f"{name}.toml"
        lines = "\n".join(
            f"{key} = {value}" for key, value in {"lease_seconds": 2.0, "poll_seconds": 2.0, **options}.items()
        )
        self._config.write_text(
            f'[database]\ndsn = "{dsn}"\n[socket]\npath = "{self.socket}"\n[pool]\nspares = 2\n[daemon]\n{lines}\n'
        )
        self.process: asyncio.subprocess.Process
        self.log = bytearray()
        self._reading: asyncio.Task[None]
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Start it and wait until it serves."""
        self.log.clear()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("JSRUNTIME_")}
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "daemon", "serve", "--config", str(self._config),
            stderr=subprocess.PIPE, env=environment,
        )  # fmt: skip
        self._reading = asyncio.create_task(self._read())
        await self.logged(STARTED)

    async def _read(self) -> None:
        assert self.process.stderr is not None
        while data := await self.process.stderr.read(65536):
            self.log += data
            self._changed.set()
        self._changed.set()

    async def logged(self, text: bytes) -> None:
        """Wait until the log holds `text`."""
        while text not in self.log:
            assert not self._reading.done(), self.log.decode()
            self._changed.clear()
            await self._changed.wait()

    async def kill(self, number: int = signal.SIGKILL) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        code = await self.process.wait()
        await self._reading
        return code

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    def client(self) -> AsyncClient:
        """A client of this daemon, to be entered."""
        return AsyncClient(self.socket)


@pytest.fixture
async def tenant(db: database.Pool) -> str:
    """The id of the default tenant."""
    tenant_id, _organization = await tenants.ensure_default(db, "default")
    return str(tenant_id)


@pytest.fixture
async def daemon(tmp_path: Path, dsn: str, tenant: str) -> AsyncIterator[RunningDaemon]:
    """A daemon that serves."""
    async with RunningDaemon(tmp_path, dsn) as running:
        yield running


@pytest.fixture
async def client(daemon: RunningDaemon) -> AsyncIterator[AsyncClient]:
    """A client of the daemon."""
    async with daemon.client() as client:
        yield client


@pytest.fixture
async def sql(dsn: str, tenant: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Somebody else's connection to the database, with plain asyncpg."""
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


@pytest.fixture(scope="module")
async def shared_client(postgres_server: postgres.EmbeddedServer, migrated_template: str) -> AsyncIterator[AsyncClient]:
    """A client of a daemon that all tests of a module share: each leaves it as it was, or the next one fails."""
    folder = Path(tempfile.mkdtemp(prefix="jsruntime-tests-"))
    async for dsn in fresh_database(postgres_server, migrated_template):
        db = await database.open_pool(dsn, min_size=1, max_size=1)
        await tenants.ensure_default(db, "default")
        await db.close()
        async with RunningDaemon(folder, dsn) as running, running.client() as client:
            yield client
    shutil.rmtree(folder)
