"""`jsruntime run`: one script, in the sandbox, with no database and no daemon."""

from __future__ import annotations

from pathlib import Path

import click

from daemon.cli.inputs import input_option, limit_options, limits
from daemon.cli.output import print_log_line, report_end


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path))
@input_option
@limit_options
def run(file: Path, input_json: str, timeout_ms: int | None, memory_bytes: int | None) -> int:
    """Run the script FILE in the sandbox and print its output.

    Needs no daemon and no database. The output goes to standard output as JSON, what the script writes to its
    console to standard error. The exit code is 0 where it completed, 1 where it failed, 124 where it ran
    out of time.
    """
    from daemon.run_once import run_file

    ran = run_file(file, input_json, limits(timeout_ms, memory_bytes), lambda line: print_log_line(line, err=True))
    return report_end(ran.status, ran.output_json, ran.error, ran.postmortem)
