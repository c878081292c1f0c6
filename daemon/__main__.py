"""The `jsruntime` command."""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit with its code."""
    from daemon.cli.root import cli

    cli(prog_name="jsruntime")


if __name__ == "__main__":
    main()
