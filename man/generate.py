"""Makes the manual pages beside this file from the commands and the plug-in registries.

    python man/generate.py            write the pages
    python man/generate.py --check    say which pages are out of date, and exit with 1 if any is

The pages hold no date and no width, so that the same source always gives the same bytes.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
RERUN = "python man/generate.py"
# The checkout that these pages belong to, before any installed copy.
sys.path.insert(0, str(HERE.parent))

import click  # noqa: E402

from mmiotools import __version__  # noqa: E402
from mmiotools.cli.grouped import Grouped  # noqa: E402
from mmiotools.cli.main import COMMANDS, cli  # noqa: E402
from mmiotools.devices import DEVICES  # noqa: E402
from mmiotools.diff.views import VIEWS  # noqa: E402
from mmiotools.drivers import DRIVERS  # noqa: E402
from mmiotools.filters.predicates import LANGUAGE, PREDICATES  # noqa: E402
from mmiotools.formats import FORMATS  # noqa: E402
from mmiotools.formats.base import EVERYTHING  # noqa: E402
from mmiotools.models.kinds import KINDS  # noqa: E402
from mmiotools.plugins import PLUGINS  # noqa: E402
from mmiotools.replay.policy import POLICIES  # noqa: E402
from mmiotools.serve import TRANSPORTS  # noqa: E402
from mmiotools.trace.registry import Registry  # noqa: E402

#: Exit statuses that every command has.
STATUS = {
    "0": "Done; the same; clean.",
    "2": "It cannot be done as asked: a wrong option, no such file, an empty input, a format or version that is not "
    "known, an expression that cannot be understood. One line on standard error says what to do.",
    "3": "The input is damaged. Everything that can be read was processed and written, and the damage was reported "
    "with its line or byte offset.",
    "130": "Interrupted.",
}
#: What 1 means, for the commands that end with it.
STATUS_ONE = {
    "record": "With --check, the trace is not what the card saw; or the driver faulted on one instruction for ever. "
    "The trace is kept.",
    "filter": "With -e, nothing was selected.",
    "diff": "The two differ.",
    "replay": "The driver, or the device, did something other than the recording.",
    "check": "Problems were found. Damage is one of them, so that this command never ends with 3.",
}
#: Commands that read no trace, and so meet no damage.
NO_INPUT = {"record", "list", "completion"}

#: What each command's page lists: heading, registry, and the option or argument that takes the names.
FAMILIES: dict[str, tuple[tuple[str, Registry[object], str], ...]] = {
    "record": (("DRIVERS", DRIVERS, "DRIVER"), ("DEVICES", DEVICES, "--card")),  # type: ignore[dict-item]
    "diff": (("VIEWS", VIEWS, "--view"),),  # type: ignore[dict-item]
    "replay": (
        ("POLICIES", POLICIES, "--policy"),  # type: ignore[dict-item]
        ("TRANSPORTS", TRANSPORTS, "--serve"),  # type: ignore[dict-item]
        ("PLUGINS", PLUGINS, "--plugin"),  # type: ignore[dict-item]
    ),
}

#: What `keeps` calls the fields, for people.
FIELD_WORDS = {"addr": "address", "pc": "program counter", "pid": "process", "cpu": "processor", "raw": "spelling"}

#: The streams, the environment and so on, for mmiotools(1): heading and paragraphs.
CONVENTIONS = (
    (
        "INPUT AND OUTPUT",
        'A trace is read from a file, or from standard input when none is named or the name is "-". Its format and its '
        "compression (gzip, bzip2, xz, zstd) are recognised by content, on pipes too; -f overrides.",
        "Results go to standard output or to the file that -o names; -t or the suffix of that file chooses the format, "
        "and .gz, .bz2, .xz or .zst behind it compress. Regular files are written beside and renamed when all went "
        "well, an input is never overwritten, and binary data is never written to a terminal.",
        "Warnings, summaries and the progress bar go to standard error; -q silences them and changes nothing else. "
        "What is missing from a trace is never made up: an absent value stays absent, a lost event is counted, and a "
        "damaged record stays in the stream as a note that mmiotools-check(1) finds later.",
    ),
)
ENVIRONMENT = {
    "NO_COLOR": "No colour, unless --color asks for it.",
    "FORCE_COLOR, CLICOLOR_FORCE": "Colour, also where standard output is no terminal.",
    "MMIOTOOLS_NO_PLUGINS": "If set, formats and devices of other packages are not loaded.",
    "MMIOTOOLS_WORKERS": "Processes that read a large text at once; one a processor when not set, 0 for none.",
    "MMIOTOOLS_ENGINE": "What does the hot loops: numpy, or compiled, which is taken where it was built when not set.",
    "QEMU": "The QEMU that replay runs, a path or the name of a program; qemu-system-x86_64 when not set.",
    "MMIOTOOLS_DEBUG": "If set, an internal error shows its traceback.",
}
#: For mmiotools(1), and run by a test like those of the commands.
EXAMPLES = [
    (
        "Record a driver, and look at what it wrote:",
        "mmiotools record nv-test | mmiotools filter write | mmiotools convert -t mmiotrace",
    ),
    (
        "A kernel's recording in a fifth of the space, and back:",
        "mmiotools convert samples/mmiotrace/nvme-linux6.1.mmiotrace -o nvme.mmio && "
        "mmiotools convert -t mmiotrace nvme.mmio",
    ),
]
COMPLETION = (
    "mmiotools-completion(1) prints a script for bash, zsh or fish that completes commands, options, and the names of "
    "formats, drivers, devices, views and policies."
)


def escape(text: str) -> str:
    """Text as roff: backslashes, dashes that are meant as such, and control characters at the start of a line."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("^", "\\(ha")
    text = text.replace("~", "\\(ti").replace("'", "\\(aq")
    return re.sub(r"^\.", r"\\&.", text, flags=re.MULTILINE)


def prose(text: str) -> str:
    """A paragraph: page references in bold, the rest escaped."""
    return re.sub(r"(mmiotools(?:\\-\w+)?)\((\d)\)", r"\\fB\1\\fR(\2)", escape(" ".join(text.split())))


def head(name: str, section: int, title: str, manual: str) -> list[str]:
    """Title line and NAME."""
    shown = escape(name)
    return [
        f'.\\" Generated by `{RERUN}` from the commands; edit those.',
        f'.TH {shown.upper()} {section} "" "mmiotools {__version__}" "{manual}"',
        ".SH NAME",
        f"{shown} \\- {escape(title[0].lower() + title[1:].rstrip('.'))}",
    ]


def entries(items: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A list of terms, in bold, with their texts."""
    for term, text in items:
        yield from (".TP", f"\\fB{escape(term)}\\fR", prose(text))


def example_lines(examples: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Each example: what it does, and the command."""
    for what, shell in examples:
        yield from (".PP", prose(what), ".PP", ".RS 4", ".EX", escape(shell), ".EE", ".RE")


def description(text: str) -> Iterator[str]:
    """A command's docstring as paragraphs; those that click is told not to fill stay as they are."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        yield ".PP"
        if paragraph.startswith("\b\n"):
            yield from (".EX", *(escape(line) for line in paragraph.split("\n")[1:]), ".EE")
        else:
            yield prose(paragraph)


def option_entry(option: click.Option) -> str:
    """An option's spellings, in bold, with its metavariable in italics."""
    if option.is_flag:
        value = ""
    elif option.metavar is not None:
        value = option.metavar
    elif isinstance(option.type, click.Choice):
        value = "|".join(option.type.choices)
    else:
        value = option.type.name.upper()
    spellings = sorted([*option.opts, *option.secondary_opts], key=lambda word: word.startswith("--"))
    shown = ", ".join(f"\\fB{escape(word)}\\fR" for word in spellings)
    return f"{shown} \\fI{escape(value)}\\fR" if value else shown


def options(command: click.Command) -> Iterator[str]:
    """Every option with its help, by groups where the command has them, and --help."""
    if isinstance(command, Grouped):
        for heading, found in command.grouped(command.params):
            yield f".SS {escape(heading)}"
            yield from option_lines(found)
    else:
        yield from option_lines(command.params)
    yield from (".TP", "\\fB\\-h\\fR, \\fB\\-\\-help\\fR", "Show a summary and exit.")


def option_lines(params: Iterable[click.Parameter]) -> Iterator[str]:
    """Each option that is shown, with its help."""
    for param in params:
        if isinstance(param, click.Option) and not param.hidden:
            text = param.help or ""
            if param.show_default:
                text += f" The default is {param.default}."
            if param.multiple and "epeatable" not in text:
                text += " May be given several times."
            yield from (".TP", option_entry(param), prose(text))


def synopsis(name: str, command: click.Command) -> str:
    """The command line in one line: the command in bold, its arguments in italics."""
    arguments = [param.metavar or param.name or "" for param in command.params if isinstance(param, click.Argument)]
    shown = " ".join(f"\\fI{escape(word)}\\fR" for word in arguments)
    return f"\\fBmmiotools {escape(name)}\\fR [\\fIOPTIONS\\fR] {shown}".rstrip()


def statuses(name: str | None) -> Iterator[str]:
    """EXIT STATUS of one command, or of all."""
    known = dict(STATUS)
    if name is None:
        known["1"] = (
            'The answer is "different", "diverged", "something is lost" or "problems found"; or filter -e found '
            "nothing. What was produced is kept."
        )
    elif name in STATUS_ONE:
        known["1"] = STATUS_ONE[name]
    if name in NO_INPUT or name == "check":
        del known["3"]
    yield ".SH EXIT STATUS"
    yield from entries(sorted(known.items(), key=lambda row: int(row[0])))
    if len(known) > 3:
        yield from (".PP", "When several apply, the first of 130, 2, 3, 1 is taken.")


def see_also(*pages: str) -> Iterator[str]:
    """SEE ALSO, without the page itself."""
    yield ".SH SEE ALSO"
    yield prose(", ".join(pages))


def family(heading: str, registry: Registry[object], where: str) -> Iterator[str]:
    """The built-in members of a plug-in family. What is installed beside them is no part of this manual."""
    yield f".SH {heading}"
    yield prose(f"Names that {where} takes; the command mmiotools list {heading.lower()} shows those of plug-ins, too.")
    for name in registry.builtin_names():
        found = registry.get(name)
        versions = getattr(found, "versions", None)
        text = getattr(found, "title", "")
        if versions:
            text += f" Versions: {', '.join(f'{name}@{version}' for version in versions)}."
        yield from entries([(name, text)])


def kinds() -> Iterator[str]:
    """The kinds of register models, with their keys in a card file."""
    for kind in KINDS.values():
        keys = ", ".join(["reset", *kind.KEYS])
        yield from entries([(kind.kind, f"{kind.title} Keys: {keys}.")])


def main_page() -> list[str]:
    """mmiotools(1)"""
    lines = head("mmiotools", 1, "record, convert, filter, diff and replay memory-mapped-I/O traces", "User Commands")
    lines += [".SH SYNOPSIS", "\\fBmmiotools\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]", ".br"]
    lines += ["\\fBmmiotools \\-\\-version\\fR", ".SH DESCRIPTION", *description(cli.help or "")]
    lines += [".SH COMMANDS", *entries((f"mmiotools-{name}(1)", line) for name, line in COMMANDS.items())]
    for heading, *paragraphs in CONVENTIONS:
        lines.append(f".SH {heading}")
        for paragraph in paragraphs:
            lines += [".PP", prose(paragraph)]
    lines += [*statuses(None), ".SH ENVIRONMENT", *entries(ENVIRONMENT.items()), ".SH COMPLETION", prose(COMPLETION)]
    lines += [".SH EXAMPLES", *example_lines(EXAMPLES)]
    pages = [f"mmiotools-{name}(1)" for name in COMMANDS]
    return lines + list(see_also(*pages, "mmiotools-formats(5)", "mmiotools-filter(7)"))


def command_page(name: str) -> list[str]:
    """mmiotools-NAME(1)"""
    module = importlib.import_module(f"mmiotools.cli.{name}")
    command: click.Command = module.command
    lines = head(f"mmiotools-{name}", 1, COMMANDS[name], "User Commands")
    lines += [".SH SYNOPSIS", synopsis(name, command), ".SH DESCRIPTION", *description(command.help or "")]
    lines += [".SH OPTIONS", *options(command)]
    for heading, *paragraphs in getattr(module, "DETAILS", ()):
        lines.append(f".SH {heading}")
        for paragraph in paragraphs:
            lines += [".PP", prose(paragraph)]
    for heading, registry, where in FAMILIES.get(name, ()):
        lines += family(heading, registry, where)
    if name == "learn":
        lines += [".SH KINDS", prose("What a register can be, as the card file names it."), *kinds()]
    lines += [*statuses(name), ".SH EXAMPLES", *example_lines(module.EXAMPLES)]
    others = ["mmiotools(1)", "mmiotools-formats(5)"]
    return lines + list(see_also(*others, *(["mmiotools-filter(7)"] if name == "filter" else [])))


def kept(keeps: frozenset[str]) -> str:
    """What a format keeps, and what it does not, in words."""
    if keeps >= EVERYTHING:
        return "Keeps everything."
    fields = sorted(FIELD_WORDS.get(word, word) for word in keeps if not word.isupper())
    kinds = sorted(word for word in keeps if word.isupper())
    lost = sorted(FIELD_WORDS.get(word, word) for word in EVERYTHING - keeps)
    text = f"Keeps the fields {', '.join(fields)}, and events of the kinds {', '.join(kinds)}."
    return f"{text} Does not keep: {', '.join(lost)}."


def formats_page() -> list[str]:
    """mmiotools-formats(5)"""
    lines = head("mmiotools-formats", 5, "trace formats that mmiotools reads and writes", "File Formats")
    lines += [
        ".SH DESCRIPTION",
        prose(
            "Every command that reads a trace recognises its format by content, below gzip, bzip2, xz or zstd "
            "compression. The names below are those that --from and --to take; the suffix of an output file chooses, "
            "too. What a format does not keep is named on standard error when a trace that has it is written; with "
            "--strict that is an error. The command mmiotools list formats shows the formats of plug-ins, too."
        ),
        ".SH FORMATS",
    ]
    for name in FORMATS.builtin_names():
        found = FORMATS.get(name)
        ways = " and ".join(word for word, way in (("read", found.readable), ("written", found.writable)) if way)
        suffixes = "Suffix " if len(found.suffixes) == 1 else "Suffixes "
        lines += [f".SS {escape(name)}", prose(found.title), ".PP"]
        lines += [prose(f"Can be {ways}. {suffixes}{', '.join(found.suffixes)}."), ".PP", prose(kept(found.keeps))]
    return lines + list(see_also("mmiotools(1)", "mmiotools-convert(1)"))


def filter_page() -> list[str]:
    """mmiotools-filter(7)"""
    lines = head("mmiotools-filter", 7, "the language of filter expressions", "Conventions")
    lines += [
        ".SH DESCRIPTION",
        prose(
            "An expression selects events of a trace. mmiotools-filter(1) takes one as its first argument; its option "
            "--explain prints how an expression is understood, and an error points at the column."
        ),
    ]
    for heading, text in LANGUAGE:
        lines += [f".SH {escape(heading.upper())}", prose(text)]
    lines.append(".SH PREDICATES")
    for item in PREDICATES:
        lines += entries([(item.name, item.title)])
        lines += [".RS", ".EX", *(escape(example) for example in item.examples), ".EE", ".RE"]
    return lines + list(see_also("mmiotools(1)", "mmiotools-filter(1)"))


def pages() -> dict[str, bytes]:
    """File name → bytes, of every page."""
    made = {"mmiotools.1": main_page(), "mmiotools-formats.5": formats_page(), "mmiotools-filter.7": filter_page()}
    made |= {f"mmiotools-{name}.1": command_page(name) for name in COMMANDS}
    return {name: ("\n".join(lines) + "\n").encode() for name, lines in sorted(made.items())}


def outdated() -> list[str]:
    """Names of pages that are missing, differ, or are there without a source."""
    made = pages()
    there = {path.name: path.read_bytes() for path in HERE.glob("*.[1-9]")}
    return sorted(name for name in made.keys() | there.keys() if made.get(name) != there.get(name))


def main() -> int:
    """Write the pages, or with --check compare them."""
    parser = argparse.ArgumentParser(description="Make the manual pages.")
    parser.add_argument("--check", action="store_true", help="compare the pages and write nothing")
    stale = outdated() if parser.parse_args().check else []
    if stale:
        print(f"out of date: {', '.join(stale)}; run: {RERUN}", file=sys.stderr)
        return 1
    if "--check" not in sys.argv:
        made = pages()
        for name in outdated():
            path = HERE / name
            if name in made:
                path.write_bytes(made[name])
            else:
                path.unlink()
            print(f"{'wrote' if name in made else 'removed'} man/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
