"""Entry point. Answers `--version` by itself, before click or numpy is imported."""

from __future__ import annotations

import gc
import os
import sys

TYPE_CHECKING = False  # `typing` and its like take longer than `--version`
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec


def main() -> None:
    """Run the command line and exit with its status."""
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        _stand_in()
    if sys.argv[1:] == ["--version"]:
        from mmiotools import __version__

        try:
            sys.stdout.write(f"mmiotools {__version__}\n")
            sys.stdout.flush()
            return
        except OSError:
            pass  # it will fail once more, where that is told
    sys.unraisablehook = _once_more
    try:
        status = _status(sys.argv[1:])
    except KeyboardInterrupt:  # while the command was being imported, or for the second time
        from mmiotools.errors import EXIT_INTERRUPTED

        sys.stderr.write("mmiotools: interrupted\n")
        status = EXIT_INTERRUPTED
    # All that is left to do is to free memory, which the system does faster.
    sys.stderr.flush()
    os._exit(status)


def _stand_in() -> None:
    """Something in the place of streams that are closed, so that no file that is opened gets their numbers: what is
    read and what is printed fails there, and messages go nowhere.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:
        if number < 2:
            # Open the wrong way round.
            os.close(number)
            number = os.open(os.devnull, os.O_RDONLY if number else os.O_WRONLY)
        stream = open(number, "w" if number else "r", errors="backslashreplace" if number == 2 else None)  # noqa: SIM115
        setattr(sys, ("stdin", "stdout", "stderr")[number], stream)
    os.close(number)


def _status(words: list[str]) -> int:
    """The exit status of a command line."""
    # Importing makes thousands of objects, none of them garbage: they need not be looked through again and again.
    gc.set_threshold(100_000, 20, 20)
    # numpy comes with a library that starts a thread for each processor as it is loaded; nothing here needs them.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.meta_path.insert(0, _FindNumpy)
    from mmiotools.cli.front import plain_command

    plain = plain_command(words)
    if plain is not None:
        from mmiotools.cli.outcome import outcome

        return outcome(plain)
    from mmiotools.cli.main import run

    return run(words)


class _FindNumpy:
    """Has numpy imported as far as it is needed, once it is."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        if name != "numpy":
            return None
        sys.meta_path.remove(_FindNumpy)
        from mmiotools.lean import find_numpy

        return find_numpy()


def _once_more(dropped: sys.UnraisableHookArgs) -> None:
    """Python reports and drops what is raised in a callback, as imports run them, or as an object ends: Ctrl-C too,
    which is therefore raised again a moment later, when the callback is over.
    """
    if not issubclass(dropped.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(dropped)
        return
    import signal

    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.01)


if __name__ == "__main__":
    main()
