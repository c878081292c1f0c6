"""A real PostgreSQL for the tests: one server a session, one fresh database a test."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from daemon import migrate, postgres
from daemon.store import database

TEMPLATE = "migrated"


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The event loop that the daemon runs on."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.EmbeddedServer]:
    """The session's server. A test that stops it uses one of its own."""
    folder = new_server_folder()
    server = postgres.start(folder / "data")
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def migrated_template(postgres_server: postgres.EmbeddedServer) -> str:
    """A database with all migrations, to be copied."""

    async def make() -> None:
        await _execute(postgres_server.dsn, f"CREATE DATABASE {TEMPLATE}")
        await migrate.up(dsn_of(postgres_server, TEMPLATE))

    asyncio.run(make())
    return TEMPLATE


@pytest.fixture
async def empty_dsn(postgres_server: postgres.EmbeddedServer) -> AsyncIterator[str]:
    """A fresh database without any table."""
    async for dsn in fresh_database(postgres_server, "template1"):
        yield dsn


@pytest.fixture
async def dsn(postgres_server: postgres.EmbeddedServer, migrated_template: str) -> AsyncIterator[str]:
    """A fresh database with all migrations."""
    async for dsn in fresh_database(postgres_server, migrated_template):
        yield dsn


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[database.Pool]:
    """A pool of connections to a fresh database with all migrations."""
    pool = await database.open_pool(dsn, min_size=1)
    try:
        yield pool
    finally:
        await pool.close()


def new_server_folder() -> Path:
    """Make a folder for a server: not under pytest's, which is closed to the user that the server runs as."""
    folder = Path(tempfile.mkdtemp(prefix="jsruntime-tests-"))
    folder.chmod(0o711)
    return folder


def dsn_of(server: postgres.EmbeddedServer, name: str) -> str:
    """Return the DSN of another database of the server."""
    return urlsplit(server.dsn)._replace(path=f"/{name}").geturl()


async def fresh_database(server: postgres.EmbeddedServer, template: str) -> AsyncIterator[str]:
    """Yield the DSN of a copy of `template`, and drop it afterwards."""
    name = f"test_{uuid.uuid4().hex}"
    await _execute(server.dsn, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield dsn_of(server, name)
    finally:
        await _execute(server.dsn, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(dsn: str, statement: str) -> None:
    connection = await database.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
