"""`jsruntime dev`: everything on one machine, from nothing: database, tenant, scripts, daemon.

All state is in `.jsruntime/` of the current folder. `dev.json` there tells other programs where things are, from the
moment they are ready until the daemon stops.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

import click
import msgspec
import uvloop

from daemon import migrate, postgres
from daemon.config import Config, DaemonConfig, DatabaseConfig, PoolConfig, SocketConfig
from daemon.errors import ConfigError, JsRuntimeError
from daemon.serve import configure_logging
from daemon.store import database, scripts, tenants
from daemon.store.database import Pool as Database
from daemon.store.scripts import Deployment
from daemon.supervisor import Supervisor

log = logging.getLogger(__name__)

STATE_FOLDER = ".jsruntime"
STATE_FILE = "dev.json"
DEFAULT_TENANT = "default"

_WATCH_SECONDS = 0.5
_MAX_SOCKET_PATH_BYTES = 100


class DevState(msgspec.Struct, frozen=True):
    """What `dev.json` holds. `http` is `null`: this version has no HTTP gateway."""

    dsn: str
    socket: str
    http: str | None
    tenant_id: str
    pid: int


def run_dev(directory: Path) -> int:
    """Serve the scripts in `directory` until a signal comes. Returns the exit code.

    :raises JsRuntimeError: something does not start; the message says what.
    """
    state = Path.cwd() / STATE_FOLDER
    state.mkdir(exist_ok=True)
    with _alone_in(state):
        click.echo("Starting PostgreSQL …", err=True)
        server = postgres.start(state / "postgres")
        try:
            uvloop.run(_serve(directory.resolve(), state, server.dsn))
        finally:
            (state / STATE_FILE).unlink(missing_ok=True)
            server.stop()
    return 0


@contextmanager
def _alone_in(state: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel lets go of it however this process ends."""
    with (state / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"Another `jsruntime dev` serves from {state}.", "Stop it, or start this one in another folder."
            ) from None
        (state / STATE_FILE).unlink(missing_ok=True)
        yield


async def _serve(directory: Path, state: Path, dsn: str) -> None:
    await migrate.up(dsn)
    db = await database.open_pool(dsn, max_size=2)
    try:
        tenant_id, _organization_id = await tenants.ensure_default(db, DEFAULT_TENANT)
        deployer = FolderDeployer(db, tenant_id, directory)
        await deployer.deploy_changed()
        config = Config(
            database=DatabaseConfig(dsn=dsn),
            socket=SocketConfig(path=str(_socket_path(state))),
            pool=PoolConfig(),
            daemon=DaemonConfig(default_tenant=DEFAULT_TENANT, log_level="warning", drain_seconds=5.0),
        )
        configure_logging(config)
        supervisor = Supervisor(config, on_ready=lambda: _ready(state, config, tenant_id, directory, deployer))
        watching = asyncio.create_task(deployer.watch())
        try:
            await supervisor.run()
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
    finally:
        await db.close()


def _socket_path(state: Path) -> Path:
    """In the state folder; where its path is too long for a Unix socket, in a folder of its own under /tmp."""
    path = state / "jsruntime.sock"
    if len(os.fsencode(path)) <= _MAX_SOCKET_PATH_BYTES:
        return path
    return Path(tempfile.mkdtemp(prefix="jsruntime-")) / "jsruntime.sock"


def _ready(state: Path, config: Config, tenant_id: UUID, directory: Path, deployer: FolderDeployer) -> None:
    described = DevState(config.database.dsn, config.socket.path, None, str(tenant_id), os.getpid())
    temporary = state / f"{STATE_FILE}.new"
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(described), indent=2) + b"\n")
    temporary.replace(state / STATE_FILE)
    names = deployer.names
    click.echo(
        f"Ready. {len(names)} scripts from {directory}"
        f"{': ' + ', '.join(names) if names else ' (none yet: put a .js file there)'}\n"
        f"  socket    {config.socket.path}\n"
        f"  database  {config.database.dsn}\n"
        f"  tenant    {tenant_id} ({DEFAULT_TENANT})\n"
        f"Try, in another terminal in this folder:\n"
        f"  jsruntime submit {names[0] if names else 'NAME'} --input '{{}}' --wait\n"
        f"  jsruntime ps\n"
        f"Ctrl-C stops.",
        err=True,
    )


class FolderDeployer:
    """Deploys the `.js` files of a folder, each under its name without the suffix, whenever they change."""

    def __init__(self, db: Database, tenant_id: UUID, folder: Path) -> None:
        self._db = db
        self._tenant_id = tenant_id
        self._folder = folder
        self._seen: dict[Path, tuple[int, int]] = {}

    @property
    def names(self) -> list[str]:
        """The scripts that were found."""
        return sorted(path.stem for path in self._seen)

    async def watch(self) -> None:
        """Deploy for ever what changes."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            await self.deploy_changed()

    async def deploy_changed(self) -> None:
        """Deploy files that are new or changed. One that cannot be deployed is reported; the others are deployed."""
        found = await asyncio.to_thread(self._scan)
        for path, stamp in found.items():
            if self._seen.get(path) != stamp:
                await self._deploy(path)
        self._seen = found

    def _scan(self) -> dict[Path, tuple[int, int]]:
        found = {}
        for path in sorted(self._folder.glob("*.js")):
            with suppress(OSError):
                stat = path.stat()
                found[path] = (stat.st_mtime_ns, stat.st_size)
        return found

    async def _deploy(self, path: Path) -> None:
        try:
            source = await asyncio.to_thread(path.read_text, encoding="utf-8")
            deployed = await scripts.deploy(
                self._db, Deployment(tenant_id=self._tenant_id, name=path.stem, source=source)
            )
        except (JsRuntimeError, OSError, UnicodeDecodeError) as failure:
            click.echo(f"{path.name} is not deployed: {failure}", err=True)
            return
        if path in self._seen and deployed.changed:
            click.echo(f"{path.name} is deployed, version {deployed.version}", err=True)
