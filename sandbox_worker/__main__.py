"""Entry of the zygote. Arguments: descriptor of the control socket, pythonmonkey's folder, modes that failed."""

import sys

from sandbox_worker.zygote import start


def main() -> None:
    """Start the zygote with the arguments of the command line."""
    start(int(sys.argv[1]), sys.argv[2], sys.argv[3:])


if __name__ == "__main__":
    main()
