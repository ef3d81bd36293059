"""Entry point. Answers `--version` by itself, before click or numpy is imported."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Run the command line and exit with its status."""
    if sys.argv[1:] == ["--version"]:
        from mmiotools import __version__

        sys.stdout.write(f"mmiotools {__version__}\n")
        return
    # Importing makes thousands of objects, none of them garbage: they need not be looked through again and again.
    gc.set_threshold(100_000, 20, 20)
    from mmiotools.cli.front import plain_command

    plain = plain_command(sys.argv[1:])
    if plain is not None:
        from mmiotools.cli.outcome import outcome

        status = outcome(plain)
    else:
        from mmiotools.cli.main import run

        status = run(sys.argv[1:])
    # All that is left to do is to free memory, which the system does faster.
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
