"""Brings a database's schema up, down, or tells where it is.

A migration is a file `{timestamp}_{name}.sql` in `migrations/` with the sections `-- +migrate Up` and
`-- +migrate Down`. Each runs in a transaction of its own, all of them under one advisory lock, and is recorded in
`jsruntime_migrations` with the checksum of its file.

A host application may have created the tables of the data model itself. `up` then *adopts* them: it checks that they
have every column that the seed migration would have made, and records that migration as applied. What was adopted
is the host's, and `down` leaves it alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import asyncpg
import msgspec

from daemon import resources
from daemon.errors import MigrationError
from daemon.store import sql
from daemon.store.database import Connection, connect, translated

_SQL: Final = sql.load("migrations")
SEED_NAME: Final = "create_jsruntime_tables"
_FILE_NAME: Final = re.compile(r"(\d{14})_(\w+)\.sql")
_SECTIONS: Final = re.compile(r"^-- \+migrate Up\s*$(.*)^-- \+migrate Down\s*$(.*)\Z", re.MULTILINE | re.DOTALL)
_CHANGED_HINT: Final = "Put the file back as it was, and make the change in a new migration."


class Migration(msgspec.Struct, frozen=True):
    """One file. `up` and `down` are its sections, `checksum` is the SHA-256 of the whole."""

    version: str
    name: str
    checksum: str
    up: str
    down: str

    @property
    def file_name(self) -> str:
        return f"{self.version}_{self.name}.sql"


class Applied(msgspec.Struct, frozen=True):
    """One row of `jsruntime_migrations`. `adopted`: the host had made these tables."""

    version: str
    name: str
    checksum: str
    applied_at: datetime
    adopted: bool


class MigrationStatus(msgspec.Struct, frozen=True):
    """Where one migration stands. `missing`: it was applied, and its file is gone."""

    version: str
    name: str
    state: Literal["pending", "applied", "adopted", "changed", "missing"]
    applied_at: datetime | None


def load(folder: Path | None = None) -> list[Migration]:
    """Return the migrations of a folder, this installation's by default, oldest first.

    :raises MigrationError: a file that is not named or not divided as it must be, or a version twice.
    """
    migrations = [_parse(path) for path in sorted((folder or resources.migrations()).glob("*.sql"))]
    versions = [migration.version for migration in migrations]
    for migration in migrations:
        if versions.count(migration.version) > 1:
            raise MigrationError(f"Two migrations have the version {migration.version}.", "Give one a later timestamp.")
    return migrations


async def up(dsn: str, folder: Path | None = None) -> list[str]:
    """Apply what is pending, oldest first. Return the file names applied or adopted now.

    :raises MigrationError: an applied file has changed or is gone, tables that cannot be adopted, or a statement
        that fails; what was applied before it stays.
    :raises DatabaseUnavailable: the database cannot be reached.
    """
    migrations = load(folder)
    done = []
    async with _exclusive(dsn) as connection:
        applied = await _applied(connection)
        _refuse_changes(migrations, applied)
        for migration in migrations:
            if migration.version not in applied:
                async with _one_transaction(connection, migration):
                    await _apply(connection, migration)
                done.append(migration.file_name)
    return done


async def down(dsn: str, steps: int = 1, folder: Path | None = None) -> list[str]:
    """Take back the latest `steps` migrations, latest first. Return the file names taken back.

    :raises MigrationError: an applied file has changed or is gone, the step was adopted, or a statement fails.
    :raises DatabaseUnavailable: the database cannot be reached.
    """
    migrations = {migration.version: migration for migration in load(folder)}
    done = []
    async with _exclusive(dsn) as connection:
        applied = await _applied(connection)
        _refuse_changes(list(migrations.values()), applied)
        for version in sorted(applied, reverse=True)[:steps]:
            migration = migrations[version]
            if applied[version].adopted:
                raise MigrationError(
                    f"{migration.file_name} was adopted: the host application made these tables.",
                    "What could be taken back has been; drop them from the host's side.",
                )
            async with _one_transaction(connection, migration):
                await connection.execute(migration.down)
                await connection.execute(_SQL["forget"], version)
            done.append(migration.file_name)
    return done


async def status(dsn: str, folder: Path | None = None) -> list[MigrationStatus]:
    """Return every migration that there is or was, oldest first. Changes nothing.

    :raises MigrationError: a file that is not named or not divided as it must be.
    :raises DatabaseUnavailable: the database cannot be reached.
    """
    migrations = {migration.version: migration for migration in load(folder)}
    connection = await connect(dsn)
    try:
        with translated():
            recorded = await connection.fetchval(_SQL["is_recorded"])
            applied = await _applied(connection) if recorded else {}
    finally:
        await connection.close()
    return [
        _status_of(version, migrations.get(version), applied.get(version))
        for version in sorted(migrations.keys() | applied.keys())
    ]


def sql_text(folder: Path | None = None) -> str:
    """Return what `up` would run on an empty database, as a script for psql, with its records.

    :raises MigrationError: a file that is not named or not divided as it must be.
    """
    parts = ["-- Run with: psql --set ON_ERROR_STOP=1 --file FILE", f"{_SQL['create_table']};"]
    for migration in load(folder):
        record = (
            "INSERT INTO jsruntime_migrations (version, name, checksum) "
            f"VALUES ('{migration.version}', '{migration.name}', '{migration.checksum}');"
        )
        parts.append(f"-- {migration.file_name}\nBEGIN;\n{migration.up.strip()}\n\n{record}\nCOMMIT;")
    return "\n\n".join(parts) + "\n"


def _parse(path: Path) -> Migration:
    name = _FILE_NAME.fullmatch(path.name)
    if name is None:
        raise MigrationError(f"{path.name} is no name for a migration.", "Name it {YYYYMMDDhhmmss}_{name}.sql.")
    content = path.read_bytes()
    sections = _SECTIONS.search(content.decode("utf-8"))
    if sections is None:
        raise MigrationError(
            f"{path.name} does not have both sections.", "Write -- +migrate Up, and after it -- +migrate Down."
        )
    return Migration(name[1], name[2], hashlib.sha256(content).hexdigest(), sections[1], sections[2])


@asynccontextmanager
async def _exclusive(dsn: str) -> AsyncIterator[Connection]:
    """A connection that holds the lock of the migrations, with the table that records them."""
    connection = await connect(dsn)
    try:
        with translated():
            # Waiting for another process that migrates may take as long as that takes.
            await connection.execute(_SQL["lock"], timeout=None)
            await connection.execute(_SQL["create_table"])
            yield connection
    finally:
        await connection.close()  # which gives the lock back


@asynccontextmanager
async def _one_transaction(connection: Connection, migration: Migration) -> AsyncIterator[None]:
    try:
        async with connection.transaction():
            yield
    except asyncpg.PostgresError as error:
        raise MigrationError(
            f"{migration.file_name} failed: {error}.", "Nothing of it was kept; the migrations before it were."
        ) from error


async def _applied(connection: Connection) -> dict[str, Applied]:
    return {row["version"]: Applied(**row) for row in await connection.fetch(_SQL["applied"])}


def _refuse_changes(migrations: Sequence[Migration], applied: Mapping[str, Applied]) -> None:
    files = {migration.version: migration for migration in migrations}
    for version, record in applied.items():
        migration = files.get(version)
        if migration is None:
            raise MigrationError(
                f"{version}_{record.name}.sql was applied to this database, and the file is gone.",
                "Use the version of jsruntime that brought it, or a later one.",
            )
        if migration.checksum != record.checksum:
            raise MigrationError(f"{migration.file_name} has changed since it was applied.", _CHANGED_HINT)


async def _apply(connection: Connection, migration: Migration) -> None:
    adopted = migration.name == SEED_NAME and bool(await connection.fetchval(_SQL["host_has_tables"]))
    if adopted:
        await _check_adoptable(connection, migration)
    else:
        await connection.execute(migration.up)
    await connection.execute(_SQL["record"], migration.version, migration.name, migration.checksum, adopted)


async def _check_adoptable(connection: Connection, seed: Migration) -> None:
    """Compare the host's tables with those that the seed migration makes in a schema of its own for a moment."""
    host = {(row["table_name"], row["column_name"]): row["type"] for row in await _columns(connection)}
    scratch = connection.transaction()
    await scratch.start()
    try:
        await connection.execute(_SQL["enter_scratch_schema"])
        await connection.execute(seed.up)
        wanted = await _columns(connection)
    finally:
        await scratch.rollback()
    differences = [
        f"{row['table_name']}.{row['column_name']} is {host.get((row['table_name'], row['column_name']), 'missing')}"
        f" (wanted: {row['type']})"
        for row in wanted
        if host.get((row["table_name"], row["column_name"])) != row["type"]
    ]
    if differences:
        raise MigrationError(
            f"The tables that are there cannot be adopted: {'; '.join(differences)}.",
            f"Bring them to what {seed.file_name} makes, or use another database.",
        )


async def _columns(connection: Connection) -> list[asyncpg.Record]:
    return await connection.fetch(_SQL["columns"])


def _status_of(version: str, migration: Migration | None, applied: Applied | None) -> MigrationStatus:
    if migration is None:
        assert applied is not None
        return MigrationStatus(version, applied.name, "missing", applied.applied_at)
    if applied is None:
        return MigrationStatus(version, migration.name, "pending", None)
    if applied.checksum != migration.checksum:
        return MigrationStatus(version, migration.name, "changed", applied.applied_at)
    return MigrationStatus(version, migration.name, "adopted" if applied.adopted else "applied", applied.applied_at)
