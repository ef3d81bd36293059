"""The `mmiotools` command: finds sub-commands."""

from __future__ import annotations

import importlib
import os

import click
from click.shell_completion import CompletionItem

from mmiotools import __version__
from mmiotools.cli.outcome import outcome
from mmiotools.errors import EXIT_USAGE
from mmiotools.typed import Any

#: Command → its one-line help. Each lives in `mmiotools.cli.NAME`, imported when it is run, as `command`.
COMMANDS = {
    "record": "Run a driver against an emulated device and record it.",
    "convert": "Turn a trace into another format.",
    "filter": "Keep the events that an expression selects.",
    "cat": "Join traces, one after the other.",
    "merge": "Join traces by time.",
    "split": "Cut a trace into parts.",
    "diff": "Show what differs between two traces.",
    "replay": "Answer a driver from a recording, and report where it parts.",
    "learn": "Infer from recordings what a card's registers do.",
    "info": "One screen about a trace: devices, maps, counts, losses.",
    "show": "Print a trace decoded for people.",
    "check": "Say whether a trace is complete.",
    "list": "List formats, drivers, devices and other plug-ins.",
    "completion": "Print the script that completes mmiotools in a shell.",
}


class LazyGroup(click.Group):
    """A group that knows its commands' names and help lines without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"mmiotools.cli.{cmd_name}")
        command: click.Command = module.command
        command.epilog = _examples(module.EXAMPLES)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands from the table above, so that a press of TAB imports none of them; then the options."""
        found = [CompletionItem(name, help=line) for name, line in COMMANDS.items() if name.startswith(incomplete)]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The command table, from the names and lines above."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; an unknown command names its nearest neighbour."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            close = difflib.get_close_matches(args[0], COMMANDS, 1)
            if close and "No such command" in error.message:
                message = f"No such command '{args[0]}'. Did you mean '{close[0]}'?"
                raise click.UsageError(message, ctx) from error
            raise


def _examples(examples: list[tuple[str, str]]) -> str:
    """The end of a command's --help; \\b keeps click from filling the lines."""
    return "Examples:" + "".join(f"\n\n\b\n{what}\n  {shell}" for what, shell in examples)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="mmiotools", message="%(prog)s %(version)s")
def cli() -> None:
    """Record, convert, filter, diff and replay memory-mapped-I/O traces.

    Every command reads a trace from a file or from standard input and writes results to standard output, so they
    can be joined in a pipeline. Formats and compression are recognised by content.
    """


def run(args: list[str], **extra: Any) -> int:
    """Run the command line; the exit status. No exception leaves it but those that end the process."""
    return outcome(lambda: _by_click(args, extra))


def _by_click(args: list[str], extra: dict[str, Any]) -> int | None:
    try:
        if "_MMIOTOOLS_COMPLETE" in os.environ:
            cli.main(args, prog_name="mmiotools", **extra)
        # Not cli.main: it answers a closed pipe with exit status 1.
        with cli.make_context("mmiotools", args, **extra) as context:
            status = cli.invoke(context)
        return status if isinstance(status, int) else None
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.Abort as error:
        raise KeyboardInterrupt from error
    except click.ClickException as error:
        error.show()
        return EXIT_USAGE
