"""What is shipped: the wheel, the units, and that the sandbox's process loads nothing of the supervisor's."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from daemon.zygote import _BOOTSTRAP

ROOT = Path(__file__).parent.parent
UNITS = ROOT / "systemd"
SERVICE = UNITS / "jsruntime.service"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this checkout, built without a network: the backend is there already."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    built = subprocess.run([*command, "--wheel-dir", folder, ROOT], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (path,) = folder.iterdir()
    return zipfile.ZipFile(path)


def _metadata(wheel: zipfile.ZipFile, name: str) -> bytes:
    (path,) = (path for path in wheel.namelist() if path.endswith(f".dist-info/{name}"))
    return wheel.read(path)


def _in_checkout(folder: str, pattern: str) -> set[str]:
    return {str(path.relative_to(ROOT)) for path in (ROOT / folder).glob(pattern)}


@pytest.mark.parametrize(
    ("folder", "pattern"),
    [
        ("sandbox_worker/prelude", "*.js"),
        ("daemon/store/queries", "*.sql"),
        ("daemon", "**/*.py"),
        ("sandbox_worker", "**/*.py"),
        ("ipc", "**/*.py"),
        ("ipc", "py.typed"),
    ],
)
def test_the_wheel_has_what_the_packages_have(wheel: zipfile.ZipFile, folder: str, pattern: str) -> None:
    wanted = _in_checkout(folder, pattern)
    assert wanted
    assert wanted <= set(wheel.namelist())


@pytest.mark.parametrize(("folder", "pattern"), [("migrations", "*.sql"), ("systemd", "jsruntime.*")])
def test_the_wheel_has_the_folders_beside_the_packages(wheel: zipfile.ZipFile, folder: str, pattern: str) -> None:
    wanted = _in_checkout(folder, pattern)
    assert wanted
    assert {f"daemon/{path}" for path in wanted} <= set(wheel.namelist())
    assert all(wheel.read(f"daemon/{path}") == (ROOT / path).read_bytes() for path in wanted)


def test_the_wheel_has_nothing_else(wheel: zipfile.ZipFile) -> None:
    folders = {name.split("/")[0] for name in wheel.namelist()}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == {"daemon", "ipc", "sandbox_worker"}
    suffixes = {Path(name).suffix for name in wheel.namelist() if ".dist-info/" not in name}
    assert suffixes == {".py", ".js", ".sql", ".typed", ".service", ".sysusers", ".tmpfiles"}


def test_the_wheel_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    metadata = message_from_bytes(_metadata(wheel, "METADATA"))
    assert metadata["Name"] == "jsruntimed"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"
    assert "pythonmonkey==1.4.1" in metadata.get_all("Requires-Dist", [])
    assert b"jsruntime = daemon.__main__:main" in _metadata(wheel, "entry_points.txt")


def test_the_tests_command_of_the_readme_is_one_that_ci_finds() -> None:
    pattern = re.search(r"grep -m 1 -xE '(.+)' README\.md", (ROOT / ".ci/run").read_text())
    assert pattern is not None
    lines = (ROOT / "README.md").read_text().splitlines()
    assert [line for line in lines if re.fullmatch(pattern[1], line)] == [
        "python3 -m venv .venv && .venv/bin/pip install -q -e '.[dev]' && .venv/bin/pytest"
    ]


# -- the process that runs tenants' code -----------------------------------------------------------------


def test_the_zygote_loads_nothing_of_the_supervisor() -> None:
    """What import-linter cannot see: what the packages that a module imports bring along."""
    program = _BOOTSTRAP.replace("main()", "print(*sys.modules)")
    paths = dict.fromkeys(str(_folder(name)) for name in ("sandbox_worker", "ipc", "msgspec"))
    command = [sys.executable, "-I", "-S", "-X", "frozen_modules=on", "-c", program, ":".join(paths)]
    done = subprocess.run(command, env={}, cwd="/", capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert {"sandbox_worker", "ipc", "msgspec"} <= loaded
    assert not loaded & {"daemon", "asyncpg", "asyncio", "aiohttp", "anyio", "uvloop", "click", "rich", "psutil"}
    assert not loaded & {"subprocess", "multiprocessing", "http", "ssl", "urllib", "inspect", "ast"}


def _folder(package: str) -> Path:
    found = __import__(package).__file__
    assert found is not None
    return Path(found).parent.parent


def test_only_one_module_loads_the_engine() -> None:
    """pythonmonkey is imported by name, out of import-linter's sight."""
    loading = re.compile(r"import_module\(|__import__\(")
    files = (path for folder in ("daemon", "ipc", "sandbox_worker") for path in (ROOT / folder).rglob("*.py"))
    assert [path.name for path in files if loading.search(path.read_text())] == ["spidermonkey.py"]


# -- systemd ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    # The installed command is not here, and systemd looks for it.
    unit = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", SERVICE.read_text(), flags=re.MULTILINE)
    (tmp_path / SERVICE.name).write_text(unit)
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / SERVICE.name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # An unknown directive is only a warning to it.
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not installed")
def test_the_user_that_the_unit_names_is_made(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for name in ("passwd", "group"):
        (tmp_path / "etc" / name).touch()
    command = ["systemd-sysusers", f"--root={tmp_path}", str(UNITS / "jsruntime.sysusers")]
    subprocess.run(command, capture_output=True, text=True, check=True)
    user = re.search(r"^User=(.+)$", SERVICE.read_text(), re.MULTILINE)
    assert user is not None
    assert re.search(rf"^{user[1]}:", (tmp_path / "etc/passwd").read_text(), re.MULTILINE)


def test_the_unit_waits_longer_than_the_daemon_drains() -> None:
    from daemon.config import DaemonConfig

    seconds = re.search(r"^TimeoutStopSec=(\d+)$", SERVICE.read_text(), re.MULTILINE)
    assert seconds is not None
    assert int(seconds[1]) > DaemonConfig().drain_seconds


def test_the_unit_leaves_the_engine_its_compiler() -> None:
    text = SERVICE.read_text()
    assert not re.search(r"^(MemoryDenyWriteExecute|PrivateUsers|ProtectProc)=", text, re.MULTILINE)
    assert "KillMode=mixed" in text
