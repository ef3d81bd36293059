"""Options that several commands have, and what completes their values in a shell."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from mmiotools.formats import FORMATS
from mmiotools.typed import Any, Callable, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def quiet_option(function: F) -> F:
    """-q/--quiet"""
    return click.option("-q", "--quiet", is_flag=True, help="No warnings or summaries on standard error.")(function)


def from_option(function: F) -> F:
    """-f/--from"""
    return click.option(
        "-f",
        "--from",
        "from_format",
        metavar="FMT",
        shell_complete=complete_formats,
        help="Format of the input; recognised by content when not given.",
    )(function)


def to_option(function: F) -> F:
    """-t/--to"""
    return click.option(
        "-t",
        "--to",
        "to_format",
        metavar="FMT",
        shell_complete=complete_formats,
        help="Format of the output; else the suffix of OUTPUT decides.",
    )(function)


def output_option(function: F) -> F:
    """-o/--output"""
    return click.option(
        "-o",
        "--output",
        metavar="OUTPUT",
        type=click.Path(),
        help="Write to OUTPUT instead of standard output; .gz, .bz2, .xz and .zst compress.",
    )(function)


def strict_option(function: F) -> F:
    """--strict"""
    return click.option(
        "--strict", is_flag=True, help="Exit with status 2 if the output format cannot hold everything."
    )(function)


def regs_option(function: F) -> F:
    """--regs"""
    return click.option(
        "--regs",
        multiple=True,
        metavar="FILE|NAME|auto",
        shell_complete=complete_regmaps,
        help="Names of registers from FILE (TOML, SVD, rnndb, C header, table), a bundled map, or all of these; with "
        "@8086:100e, @BAR2 or @ADDRESS behind, where they lie. Repeatable, the first wins.",
    )(function)


def complete_regmaps(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Shell completion: names of bundled register maps, and files."""
    from mmiotools.regmaps import AUTO, bundled_names

    found = [CompletionItem(name) for name in (*bundled_names(), AUTO) if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


def color_option(function: F) -> F:
    """--color"""
    return click.option(
        "--color",
        "--colour",
        "color",
        type=click.Choice(["auto", "always", "never"]),
        default="auto",
        show_default=True,
        help="Colour in the output; NO_COLOR is honoured.",
    )(function)


def complete_formats(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion: names of formats."""
    return [name for name in FORMATS.names() if name.startswith(incomplete)]
