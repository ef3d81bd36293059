"""`mmiotools replay --serve` and `--qemu`: the mock card in somebody else's machine."""

from __future__ import annotations

import contextlib
import re
import signal
import sys
import threading

from mmiotools.cli.common import Run, choose_format, open_output
from mmiotools.cli.replay_terms import Terms, tell_rules
from mmiotools.engine.inject_data import Rule
from mmiotools.errors import UsageError
from mmiotools.plugins import make_plugin
from mmiotools.replay.at_path import serve_at
from mmiotools.replay.report import Report
from mmiotools.replay.run import mock_card, recorded_seed
from mmiotools.replay.served_trace import served_header
from mmiotools.replay.serving import Serving
from mmiotools.replay.under_qemu import Run as QemuRun
from mmiotools.replay.under_qemu import choose_transport, parse_command
from mmiotools.serve import TRANSPORTS
from mmiotools.serve.loop import Stop
from mmiotools.trace.tape import Tape
from mmiotools.typed import Any, Iterator, NamedTuple, Sequence


class Options(NamedTuple):
    """What the user asked for: the words of the options."""

    serve: str | None
    qemu: str | None
    timeout: float | None
    plugin: str | None
    config: str | None
    as_trace: str | None
    seed: int | None


class Plan:
    """The options, checked before the trace is read. Raises UsageError for what cannot be done."""

    def __init__(self, options: Options) -> None:
        self.options = options
        word, _, self.path = (options.serve or "").partition(":")
        if word:
            TRANSPORTS.get(word)
        self.command = None if options.qemu is None else parse_command(options.qemu)
        if self.command is not None:
            if self.path:
                raise UsageError("with --qemu, --serve takes no path: QEMU is given a socket of its own")
            word = choose_transport(self.command.qemu, word or None)
        elif not self.path:
            raise UsageError(f"--serve {word} needs --qemu 'ARGS', or the path of a socket: {word}:PATH")
        self.transport = word
        self.plugin = None if options.plugin is None else make_plugin(options.plugin)
        self.config, self.class_code = (b"", 0) if options.config is None else read_config(options.config)


def read_config(word: str) -> tuple[bytes, int]:
    """A configuration space and a class code, one of them empty: --config takes a file or a number.

    Raises UsageError, OSError.
    """
    if re.fullmatch(r"0x[0-9a-fA-F]{6}", word):
        return b"", int(word, 16)
    with open(word, "rb") as file:
        config = file.read(4097)
    if len(config) not in (64, 256, 4096):
        raise UsageError(f"{word}: is no configuration space: those have 64, 256 or 4096 bytes")
    return config, 0


def serve_tape(
    run: Run,
    tape: Tape,
    terms: Terms,
    card: dict[str, Any],
    plan: Plan,
    rules: Sequence[Rule],
    trace: str | None,
) -> Report:
    """Serve the mock card of a tape until its user is through; the report. Sets the exit status of `run`.

    card  what `terms` make of it
    """
    serving = Serving(
        tape,
        mock_card(tape, plugin=plan.plugin, **card),
        rules=rules,
        seed=recorded_seed(tape.meta) if plan.options.seed is None else plan.options.seed,
        config=plan.config,
        class_code=plan.class_code,
        wide=TRANSPORTS.get(plan.transport).wide,
    )
    with contextlib.ExitStack() as stack:
        if plan.options.as_trace is not None:
            target = choose_format(None, plan.options.as_trace, "native")
            header = served_header(tape, terms.policy, plan.transport)
            sink = stack.enter_context(open_output(run, plan.options.as_trace, target, header, (trace,)))
            stack.callback(serving.record(sink.write).flush)
        stop = stack.enter_context(_stopped_by_signals())
        if plan.command is not None:
            QemuRun(
                plan.command,
                plan.transport,
                console=None if run.quiet else _stderr(),
                timeout=plan.options.timeout,
            )(serving, stop)
        else:
            serve_at(plan.path, plan.transport, serving, stop, plan.options.timeout, run.say)
    tell_rules(run, serving.tally)
    return serving.report(plan.transport, terms.policy, fuzz=terms.fuzz, names=card["names"])


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[Stop]:
    """Ctrl-C, and a request to end, stop the serving once and end the process the second time."""
    stop = Stop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before: dict[int, Any] = {}

    def asked(number: int, frame: object) -> None:
        stop.ask()
        signal.signal(number, before.get(number) or signal.SIG_DFL)

    # Only the main thread may set handlers.
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, asked) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.close()


def _stderr() -> int | None:
    """Where the guest's console is shown: with the other messages."""
    try:
        return sys.stderr.fileno()
    except (OSError, ValueError):
        return None
