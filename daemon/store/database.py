"""The connection to PostgreSQL, and its errors in our words.

The functions of this package take an `Executor` first: a pool for a statement of its own, a connection to be
part of the caller's transaction. They raise nothing but `daemon.errors`. JSON goes in and out as text, asyncpg's
default: what a script is given and what it returns is never decoded on the way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from daemon.errors import Conflict, DatabaseUnavailable, InvalidInput, StoreError

Record: TypeAlias = asyncpg.Record
Pool: TypeAlias = "asyncpg.Pool[Record]"
Connection: TypeAlias = "asyncpg.Connection[Record] | PoolConnectionProxy[Record]"
Executor: TypeAlias = "Pool | Connection"

# What the daemon asks for is found by index, always. Plans are cached for as long as a connection lives, and one
# made while a table was small would scan it whole when it no longer is.
SESSION_SETTINGS: Final = {
    "application_name": "jsruntime",
    "timezone": "UTC",
    "default_transaction_isolation": "read committed",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}

# SQLSTATE classes: the connection, too few resources, the server stops or starts.
_UNAVAILABLE_CLASSES: Final = ("08", "53", "57P", "58")
# What a CHECK of the schema means, in words; triggers bring their own.
_CHECKS: Final = {
    "scheduled_scripts_require_cron_expression": ("cron_expression", "A scheduled script requires a cron_expression."),
    "http_scripts_require_http_path": ("http_path", "An http script requires an http_path."),
    "event_scripts_require_event_types": ("event_types", "An event script requires at least one of event_types."),
    "scripts_type_check": (
        "type",
        "The type of a script is one of scheduled, http, event, oneoff, embedded.",
    ),
    "scripts_status_check": (
        "status",
        "The status of a script is one of draft, active, paused, disabled, archived.",
    ),
    "script_executions_trigger_type_check": (
        "trigger_type",
        "The trigger_type of an execution is one of cron, http, event, manual, api.",
    ),
    "uq_scripts_tenant_name": ("name", "The tenant has a script of this name already."),
    "uq_scripts_tenant_http_path": ("http_path", "Another script of the tenant has this http_path."),
}


def address(dsn: str) -> str:
    """Return "host/database" of a DSN for messages, without user and password."""
    parts = urlsplit(dsn)
    host = parts.hostname or next(iter(parse_qs(parts.query).get("host", [])), "") or "the local socket"
    port = f":{parts.port}" if parts.port else ""
    return f"{host}{port}/{parts.path.lstrip('/') or parts.username or ''}"


async def connect(dsn: str, timeout_seconds: float = 10.0) -> asyncpg.Connection[Record]:
    """Open one connection, for LISTEN or an advisory lock of its own. The caller closes it.

    :raises DatabaseUnavailable: it cannot be reached, or refuses the login.
    """
    with _connecting(dsn):
        return await asyncpg.connect(dsn, timeout=timeout_seconds, server_settings=SESSION_SETTINGS)


async def open_pool(dsn: str, *, min_size: int = 2, max_size: int = 8, timeout_seconds: float = 10.0) -> Pool:
    """Open a pool of connections. The caller closes it.

    :raises DatabaseUnavailable: the database cannot be reached, or refuses the login.
    """
    with _connecting(dsn):
        return await asyncpg.create_pool(
            dsn,
            min_size=min_size,
            max_size=max_size,
            timeout=timeout_seconds,
            command_timeout=60.0,
            statement_cache_size=200,
            max_cached_statement_lifetime=0,
            server_settings=SESSION_SETTINGS,
            # The functions here change settings only inside transactions: nothing to reset, a round trip saved.
            reset=_no_reset,
        )


@asynccontextmanager
async def transaction(db: Executor) -> AsyncIterator[Connection]:
    """A transaction on a connection of the pool, or a savepoint in the one that `db` is in."""
    if isinstance(db, asyncpg.Pool):
        async with db.acquire() as connection, connection.transaction():
            yield connection
    else:
        async with db.transaction():
            yield db


@contextmanager
def translated() -> Iterator[None]:
    """Turn what asyncpg raises into errors of ours.

    :raises DatabaseUnavailable: the connection is gone, or none could be had in time.
    :raises InvalidInput: a value that a column, a constraint or a trigger refuses.
    :raises Conflict: a row in a state that does not allow the change.
    :raises StoreError: anything else that the server reports.
    """
    try:
        yield
    except asyncpg.PostgresError as error:
        raise _from_server(error) from error
    except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise _from_client(error) from error
    except (OSError, TimeoutError) as error:
        raise DatabaseUnavailable(
            f"The database does not answer ({_words(error)}).", "Try again when it is back."
        ) from error


def storable(text: str | None) -> str | None:
    """Return `text` as PostgreSQL can store it: NUL and lone surrogates become U+FFFD."""
    if text is None or (text.isascii() and "\x00" not in text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\x00", "\ufffd")


def as_uuid(text: str) -> UUID | None:
    """Return the UUID that `text` is, `None` where it is something else."""
    try:
        return UUID(text)
    except ValueError:
        return None


async def _no_reset(_connection: Connection) -> None:
    return None


@contextmanager
def _connecting(dsn: str) -> Iterator[None]:
    try:
        yield
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise DatabaseUnavailable(
            f"Cannot connect to the database {address(dsn)} ({_words(error)}).",
            "Check that the server is running and that the DSN is right.",
        ) from error


def _from_server(error: asyncpg.PostgresError) -> StoreError:
    details: dict[str, Any] = error.as_dict()
    message = _sentence(str(details.get("message") or error))
    hint = str(details.get("hint") or "")
    column = str(details.get("column_name") or "")
    sqlstate = str(details.get("sqlstate") or "")
    if sqlstate.startswith(_UNAVAILABLE_CLASSES):
        return DatabaseUnavailable(f"The database is not available: {message}", "Try again when it is back.")
    if sqlstate in ("23505", "23514") and details.get("constraint_name") in _CHECKS:
        column, message = _CHECKS[str(details["constraint_name"])]
    if sqlstate in ("23505", "40001", "40P01", "55000", "55P03"):
        return Conflict(message, hint)
    if sqlstate.startswith(("22", "23")):
        return InvalidInput(message, hint, column)
    return StoreError(f"The database reports: {message}", hint)


def _from_client(error: Exception) -> StoreError:
    # A value that asyncpg cannot encode; a DataError is an InterfaceError there.
    if isinstance(error, ValueError):
        return InvalidInput(_sentence(str(error)))
    return DatabaseUnavailable(
        f"The connection to the database is gone ({_words(error)}).", "Try again when it is back."
    )


def _words(error: BaseException) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__


def _sentence(text: str) -> str:
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
