"""Entry point. Answers `--version` by itself, before click or numpy is imported."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and exit with its status."""
    if sys.argv[1:] == ["--version"]:
        from mmiotools import __version__

        sys.stdout.write(f"mmiotools {__version__}\n")
        return
    from mmiotools.cli.main import run

    status = run(sys.argv[1:])
    # All that is left to do is to free memory, which the system does faster.
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
