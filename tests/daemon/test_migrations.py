"""The schema that the migrations make, and the tool that applies them."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import asyncpg
import pytest

from daemon import migrate, resources
from daemon.errors import MigrationError
from daemon.store import database

pytestmark = pytest.mark.anyio

UUID_KEY = ("uuid", True, "gen_random_uuid()")
UUID_REQUIRED = ("uuid", True, None)
NOW = ("timestamp with time zone", False, "now()")
TIME = ("timestamp with time zone", False, None)
EMPTY_JSON = ("jsonb", False, "'{}'::jsonb")
TEXT = ("text", False, None)
TEXT_REQUIRED = ("text", True, None)
TEXTS = ("text[]", False, None)
USER = ("integer", False, None)


def _varchar(size: int, *, required: bool = False, default: str | None = None) -> tuple[str, bool, str | None]:
    return (f"character varying({size})", required, default)


# The data model: column → (type, NOT NULL, default).
SEED_COLUMNS: dict[str, dict[str, tuple[str, bool, str | None]]] = {
    "scripts": {
        "id": UUID_KEY,
        "tenant_id": UUID_REQUIRED,
        "organization_id": UUID_REQUIRED,
        "name": _varchar(255, required=True),
        "description": TEXT,
        "source": TEXT_REQUIRED,
        "type": _varchar(50, required=True),
        "status": _varchar(50, required=True),
        "resource_limits": (
            "jsonb",
            True,
            '\'{"max_memory_bytes": 67108864, "max_concurrent_runs": 5, "max_execution_time_ms": 30000, '
            '"max_output_size_bytes": 1048576, "max_api_calls_per_minute": 60}\'::jsonb',
        ),
        "cron_expression": _varchar(255),
        "http_path": _varchar(500),
        "http_methods": TEXTS,
        "event_types": TEXTS,
        "metadata": EMPTY_JSON,
        "tags": ("text[]", False, "ARRAY[]::text[]"),
        "created_at": NOW,
        "updated_at": NOW,
        "created_by": USER,
    },
    "script_executions": {
        "id": UUID_KEY,
        "script_id": UUID_REQUIRED,
        "tenant_id": UUID_REQUIRED,
        "status": _varchar(50, required=True),
        "trigger_type": _varchar(50, required=True),
        "trigger_data": EMPTY_JSON,
        "input": EMPTY_JSON,
        "output": ("jsonb", False, None),
        "error": TEXT,
        "metrics": EMPTY_JSON,
        "started_at": NOW,
        "completed_at": TIME,
    },
    "script_versions": {
        "id": UUID_KEY,
        "script_id": UUID_REQUIRED,
        "tenant_id": UUID_REQUIRED,
        "version_number": ("integer", True, None),
        "source": TEXT_REQUIRED,
        "change_description": TEXT,
        "created_at": NOW,
        "created_by": USER,
    },
    "script_event_subscriptions": {
        "id": UUID_KEY,
        "script_id": UUID_REQUIRED,
        "tenant_id": UUID_REQUIRED,
        "event_type": _varchar(255, required=True),
        "is_active": ("boolean", False, "true"),
        "created_at": NOW,
    },
    "script_scheduled_jobs": {
        "id": UUID_KEY,
        "script_id": UUID_REQUIRED,
        "tenant_id": UUID_REQUIRED,
        "cron_expression": _varchar(255, required=True),
        "timezone": _varchar(100, default="'UTC'::character varying"),
        "next_run_at": TIME,
        "last_run_at": TIME,
        "last_run_status": _varchar(50),
        "is_running": ("boolean", False, "false"),
        "created_at": NOW,
        "updated_at": NOW,
    },
    "script_http_endpoints": {
        "id": UUID_KEY,
        "script_id": UUID_REQUIRED,
        "tenant_id": UUID_REQUIRED,
        "http_path": _varchar(500, required=True),
        "http_methods": ("text[]", True, None),
        "is_active": ("boolean", False, "true"),
        "created_at": NOW,
    },
    "script_event_dead_letters": {
        "id": UUID_KEY,
        "script_id": UUID_REQUIRED,
        "tenant_id": UUID_REQUIRED,
        "execution_id": ("uuid", False, None),
        "event_type": _varchar(255, required=True),
        "event_data": ("jsonb", True, None),
        "error": TEXT_REQUIRED,
        "retry_count": ("integer", False, "0"),
        "last_retry_at": TIME,
        "created_at": NOW,
    },
}

SEED_INDEXES = {
    "idx_scripts_tenant_status": "scripts USING btree (tenant_id, status)",
    "idx_scripts_tenant_type_status": "scripts USING btree (tenant_id, type, status)",
    "idx_scripts_http_path": "scripts USING btree (tenant_id, http_path) WHERE (http_path IS NOT NULL)",
    "idx_scripts_event_types": "scripts USING gin (event_types)",
    "idx_scripts_cron": "scripts USING btree (tenant_id, cron_expression) WHERE (cron_expression IS NOT NULL)",
    "idx_scripts_metadata": "scripts USING gin (metadata)",
    "idx_scripts_tags": "scripts USING gin (tags)",
    "idx_scripts_fulltext": "scripts USING gin (to_tsvector('english'::regconfig, "
    "(((name)::text || ' '::text) || COALESCE(description, ''::text))))",
    "uq_scripts_tenant_name": "scripts USING btree (tenant_id, name)",
    "uq_scripts_tenant_http_path": "scripts USING btree (tenant_id, http_path)",
    "idx_executions_script": "script_executions USING btree (script_id)",
    "idx_executions_tenant_script": "script_executions USING btree (tenant_id, script_id)",
    "idx_executions_tenant_status": "script_executions USING btree (tenant_id, status)",
    "idx_executions_tenant_started": "script_executions USING btree (tenant_id, started_at DESC)",
    "idx_executions_tenant_trigger": "script_executions USING btree (tenant_id, trigger_type)",
    "idx_executions_pending": "script_executions USING btree (tenant_id, status) "
    "WHERE ((status)::text = 'pending'::text)",
    "idx_executions_running": "script_executions USING btree (tenant_id, status) "
    "WHERE ((status)::text = 'running'::text)",
    "idx_versions_script": "script_versions USING btree (script_id)",
    "idx_versions_script_created": "script_versions USING btree (script_id, created_at DESC)",
    "idx_versions_tenant": "script_versions USING btree (tenant_id)",
    "uq_versions_script_number": "script_versions USING btree (script_id, version_number)",
    "idx_event_subs_tenant_event": "script_event_subscriptions USING btree (tenant_id, event_type) "
    "WHERE (is_active = true)",
    "idx_event_subs_script": "script_event_subscriptions USING btree (script_id)",
    "uq_subs_script_event": "script_event_subscriptions USING btree (script_id, event_type)",
    "idx_scheduled_next_run": "script_scheduled_jobs USING btree (next_run_at) WHERE (is_running = false)",
    "idx_scheduled_script": "script_scheduled_jobs USING btree (script_id)",
    "idx_scheduled_tenant": "script_scheduled_jobs USING btree (tenant_id)",
    "script_scheduled_jobs_script_id_key": "script_scheduled_jobs USING btree (script_id)",
    "idx_http_endpoints_path": "script_http_endpoints USING btree (tenant_id, http_path) WHERE (is_active = true)",
    "idx_http_endpoints_script": "script_http_endpoints USING btree (script_id)",
    "script_http_endpoints_script_id_key": "script_http_endpoints USING btree (script_id)",
    "uq_endpoints_tenant_path": "script_http_endpoints USING btree (tenant_id, http_path)",
    "idx_dead_letters_tenant": "script_event_dead_letters USING btree (tenant_id)",
    "idx_dead_letters_script": "script_event_dead_letters USING btree (script_id)",
    "idx_dead_letters_created": "script_event_dead_letters USING btree (tenant_id, created_at DESC)",
    "idx_dead_letters_retry": "script_event_dead_letters USING btree (retry_count) WHERE (retry_count < 3)",
    **{f"{table}_pkey": f"{table} USING btree (id)" for table in SEED_COLUMNS},
}

_TENANT = ("tenant_id", "tenants", "a")
_SCRIPT = ("script_id", "scripts", "c")
_CREATOR = ("created_by", "users", "a")
# Column → referenced table, and what a delete there does: a(ction refused), c(ascade), n(ull).
SEED_FOREIGN_KEYS = {
    "scripts": {_TENANT, ("organization_id", "organizations", "a"), _CREATOR},
    "script_executions": {_TENANT, _SCRIPT},
    "script_versions": {_TENANT, _SCRIPT, _CREATOR},
    "script_event_subscriptions": {_TENANT, _SCRIPT},
    "script_scheduled_jobs": {_TENANT, _SCRIPT},
    "script_http_endpoints": {_TENANT, _SCRIPT},
    "script_event_dead_letters": {_TENANT, _SCRIPT, ("execution_id", "script_executions", "n")},
}

SEED_CHECKS = {
    ("scripts", "type"): {"scheduled", "http", "event", "oneoff", "embedded"},
    ("scripts", "status"): {"draft", "active", "paused", "disabled", "archived"},
    ("script_executions", "status"): {"pending", "running", "completed", "failed", "timeout", "cancelled"},
    ("script_executions", "trigger_type"): {"cron", "http", "event", "manual", "api"},
}


@pytest.fixture
def seeded(tmp_path: Path) -> Path:
    """A folder with only the host's tables and the seed."""
    for path in sorted(resources.migrations().glob("*.sql"))[:2]:
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.fixture
async def seed(empty_dsn: str, seeded: Path) -> asyncpg.Connection[asyncpg.Record]:
    await migrate.up(empty_dsn, seeded)
    return await database.connect(empty_dsn)


async def test_the_seed_has_every_column_of_the_data_model(seed: asyncpg.Connection[asyncpg.Record]) -> None:
    rows = await seed.fetch(
        "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull, "
        "pg_get_expr(d.adbin, d.adrelid) AS value FROM pg_class AS c "
        "JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 "
        "LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum "
        "WHERE c.relkind = 'r' AND c.relname LIKE 'script%' ORDER BY c.relname, a.attnum"
    )
    await seed.close()
    found: dict[str, dict[str, tuple[str, bool, str | None]]] = {}
    for row in rows:
        found.setdefault(row["relname"], {})[row["attname"]] = (row["type"], row["attnotnull"], row["value"])
    assert found == SEED_COLUMNS
    assert {table: list(columns) for table, columns in found.items()} == {
        table: list(columns) for table, columns in SEED_COLUMNS.items()
    }, "in this order"


async def test_the_seed_has_every_index_of_the_data_model(seed: asyncpg.Connection[asyncpg.Record]) -> None:
    rows = await seed.fetch("SELECT indexname, indexdef FROM pg_indexes WHERE tablename LIKE 'script%'")
    await seed.close()
    found = {row["indexname"]: row["indexdef"].split(" ON public.", 1)[1] for row in rows}
    assert found == SEED_INDEXES


async def test_the_seed_has_every_foreign_key_of_the_data_model(
    seed: asyncpg.Connection[asyncpg.Record],
) -> None:
    rows = await seed.fetch(
        "SELECT conrelid::regclass::text AS owner, a.attname, confrelid::regclass::text AS target, "
        "confdeltype::text AS rule FROM pg_constraint "
        "JOIN pg_attribute AS a ON a.attrelid = conrelid AND a.attnum = conkey[1] "
        "WHERE contype = 'f' AND conrelid::regclass::text LIKE 'script%'"
    )
    await seed.close()
    found: dict[str, set[tuple[str, str, str]]] = {}
    for row in rows:
        found.setdefault(row["owner"], set()).add((row["attname"], row["target"], row["rule"]))
    assert found == SEED_FOREIGN_KEYS


async def test_the_seed_has_every_check_of_the_data_model(seed: asyncpg.Connection[asyncpg.Record]) -> None:
    rows = await seed.fetch(
        "SELECT conrelid::regclass::text AS owner, a.attname, "
        "ARRAY(SELECT (regexp_matches(pg_get_constraintdef(c.oid), '''(\\w+)''', 'g'))[1]) AS values "
        "FROM pg_constraint AS c JOIN pg_attribute AS a ON a.attrelid = conrelid AND a.attnum = conkey[1] "
        "WHERE contype = 'c' AND conrelid::regclass::text LIKE 'script%'"
    )
    await seed.close()
    assert {(row["owner"], row["attname"]): set(row["values"]) for row in rows} == SEED_CHECKS


async def test_up_down_and_up_again_leave_the_same_schema(empty_dsn: str) -> None:
    connection = await database.connect(empty_dsn)
    everything = (
        "SELECT array_agg(name ORDER BY name) FROM (SELECT relkind::text || ' ' || relname AS name FROM pg_class "
        "WHERE relnamespace = 'public'::regnamespace UNION ALL SELECT 'f ' || proname FROM pg_proc "
        "WHERE pronamespace = 'public'::regnamespace UNION ALL SELECT 'c ' || conname FROM pg_constraint "
        "WHERE connamespace = 'public'::regnamespace UNION ALL SELECT 't ' || tgname FROM pg_trigger "
        "WHERE NOT tgisinternal) AS names WHERE name NOT LIKE '%jsruntime_migrations%'"
    )
    files = [migration.file_name for migration in migrate.load()]
    assert await migrate.up(empty_dsn) == files
    made = await connection.fetchval(everything)
    assert await migrate.up(empty_dsn) == []
    assert await migrate.down(empty_dsn, len(files)) == files[::-1]
    assert await connection.fetchval(everything) is None
    assert await migrate.up(empty_dsn) == files
    assert await connection.fetchval(everything) == made
    await connection.close()


async def test_down_takes_back_one_step(empty_dsn: str) -> None:
    files = [migration.file_name for migration in migrate.load()]
    await migrate.up(empty_dsn)
    assert await migrate.down(empty_dsn) == files[-1:]
    states = [entry.state for entry in await migrate.status(empty_dsn)]
    assert states == ["applied"] * (len(files) - 1) + ["pending"]


async def test_status_of_an_untouched_database_changes_nothing(empty_dsn: str) -> None:
    assert {entry.state for entry in await migrate.status(empty_dsn)} == {"pending"}
    connection = await database.connect(empty_dsn)
    assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    await connection.close()


async def test_two_that_migrate_at_once_do_it_once(empty_dsn: str) -> None:
    done = await asyncio.gather(migrate.up(empty_dsn), migrate.up(empty_dsn))
    assert sorted(map(len, done)) == [0, len(migrate.load())]


async def test_a_changed_file_is_refused_by_name(empty_dsn: str, seeded: Path) -> None:
    await migrate.up(empty_dsn, seeded)
    changed = seeded / f"20250101000100_{migrate.SEED_NAME}.sql"
    changed.write_text(changed.read_text() + "-- one more line\n")
    for command in (migrate.up(empty_dsn, seeded), migrate.down(empty_dsn, 1, seeded)):
        with pytest.raises(MigrationError, match=f"{changed.name} has changed"):
            await command
    assert [entry.state for entry in await migrate.status(empty_dsn, seeded)] == ["applied", "changed"]


async def test_a_missing_file_is_refused_by_name(empty_dsn: str, seeded: Path) -> None:
    await migrate.up(empty_dsn, seeded)
    gone = seeded / f"20250101000100_{migrate.SEED_NAME}.sql"
    gone.unlink()
    with pytest.raises(MigrationError, match=f"{gone.name} was applied"):
        await migrate.up(empty_dsn, seeded)
    assert [entry.state for entry in await migrate.status(empty_dsn, seeded)] == ["applied", "missing"]


async def test_nothing_of_a_failing_file_is_kept(empty_dsn: str, seeded: Path) -> None:
    broken = seeded / "20990101000000_broken.sql"
    broken.write_text("-- +migrate Up\nCREATE TABLE half (id int);\nSELECT 1/0;\n-- +migrate Down\n")
    with pytest.raises(MigrationError, match=r"20990101000000_broken.sql failed: division by zero"):
        await migrate.up(empty_dsn, seeded)
    assert [entry.state for entry in await migrate.status(empty_dsn, seeded)] == [
        "applied",
        "applied",
        "pending",
    ]
    connection = await database.connect(empty_dsn)
    assert await connection.fetchval("SELECT to_regclass('half')") is None
    await connection.close()


@pytest.mark.parametrize(
    ("name", "content"),
    [("first.sql", "-- +migrate Up\n-- +migrate Down\n"), ("20250101000000_a.sql", "-- +migrate Up\n")],
)
async def test_files_must_be_named_and_divided(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(MigrationError, match=name):
        migrate.load(tmp_path)


async def test_the_tables_of_a_host_are_used_and_left(empty_dsn: str) -> None:
    host = await database.connect(empty_dsn)
    await host.execute(
        "CREATE TABLE tenants (id uuid PRIMARY KEY, slug text); CREATE TABLE users (id serial PRIMARY KEY, login text)"
    )
    await migrate.up(empty_dsn)
    await migrate.down(empty_dsn, 100)
    rows = await host.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    await host.close()
    assert [row["tablename"] for row in rows] == ["jsruntime_migrations", "tenants", "users"]


async def test_the_tables_of_the_data_model_are_adopted_from_a_host(empty_dsn: str) -> None:
    host = await database.connect(empty_dsn)
    for migration in migrate.load()[:2]:
        await host.execute(migration.up)
    await host.execute("ALTER TABLE scripts ADD COLUMN color text")
    await host.execute(
        "WITH t AS (INSERT INTO tenants (name) VALUES ('t') RETURNING id), "
        "o AS (INSERT INTO organizations (tenant_id, name) SELECT id, 'o' FROM t RETURNING id, tenant_id), "
        "s AS (INSERT INTO scripts (tenant_id, organization_id, name, source, type, status) "
        "SELECT tenant_id, id, 'old', '1', 'http', 'active' FROM o RETURNING id, tenant_id) "
        "INSERT INTO script_executions (script_id, tenant_id, status, trigger_type) "
        "SELECT id, tenant_id, 'completed', 'api' FROM s"
    )
    await migrate.up(empty_dsn)
    states = {entry.name: entry.state for entry in await migrate.status(empty_dsn)}
    assert states.pop("create_jsruntime_tables") == "adopted"
    assert set(states.values()) == {"applied"}
    assert await host.fetchval("SELECT version_number FROM script_versions") == 1
    assert await host.fetchval("SELECT to_regnamespace('jsruntime_scratch')") is None
    with pytest.raises(MigrationError, match="adopted"):
        await migrate.down(empty_dsn, 100)
    assert await host.fetchval("SELECT count(*) FROM scripts") == 1
    await host.close()


async def test_tables_that_differ_are_not_adopted(empty_dsn: str) -> None:
    host = await database.connect(empty_dsn)
    for migration in migrate.load()[:2]:
        await host.execute(migration.up)
    await host.execute("ALTER TABLE scripts DROP COLUMN tags; ALTER TABLE script_versions ALTER source TYPE varchar(9)")
    with pytest.raises(MigrationError) as caught:
        await migrate.up(empty_dsn)
    await host.close()
    assert "scripts.tags is missing (wanted: text[])" in caught.value.message
    assert "script_versions.source is character varying(9) (wanted: text)" in caught.value.message


async def test_the_sql_text_does_what_up_does(empty_dsn: str) -> None:
    connection = await database.connect(empty_dsn)
    await connection.execute(migrate.sql_text())
    await connection.close()
    assert {entry.state for entry in await migrate.status(empty_dsn)} == {"applied"}
    assert await migrate.up(empty_dsn) == []
