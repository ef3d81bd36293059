"""Command lines of the plainest kind, understood without click, whose import takes longer than they take to run.

Only what is spelled as the tables below say; all else, errors included, is click's.
"""

from __future__ import annotations

import os

from mmiotools.typed import Any, Callable, NamedTuple

#: What the name of an argument ends in that may stand for many.
_MANY = "..."


class Spelling(NamedTuple):
    """What a command may be given here.

    places   its arguments in order, by the names that the command has for them; the first has to be there; the last
             may stand for many, and then its name ends in "..."
    flags    option → name
    values   option that has a value → name
    """

    places: tuple[str, ...]
    flags: dict[str, str]
    values: dict[str, str]


FILTER = Spelling(
    ("expression", "input"),
    {
        "-v": "invert",
        "--invert": "invert",
        "--bare": "bare",
        "--count": "counts",
        "-e": "exit_status",
        "--exit-status": "exit_status",
        "--strict": "strict",
        "-q": "quiet",
        "--quiet": "quiet",
    },
    {
        "--time": "times",
        "-f": "from_format",
        "--from": "from_format",
        "-t": "to_format",
        "--to": "to_format",
        "-o": "output",
        "--output": "output",
    },
)


INFO = Spelling(
    ("traces...",),
    {"--json": "as_json", "-q": "quiet", "--quiet": "quiet"},
    {"-f": "from_format", "--from": "from_format"},
)

DIFF = Spelling(
    ("traces...",),
    {
        "--stat": "stat",
        "--counts": "counts",
        "--brief": "brief",
        "--only-writes": "only_writes",
        "-v": "show_volatile",
        "--show-volatile": "show_volatile",
        "--all": "everything",
        "-q": "quiet",
        "--quiet": "quiet",
    },
    {
        "--view": "view",
        "--html": "html",
        "--at": "at",
        "-U": "context",
        "--context": "context",
        "-f": "from_format",
        "--from": "from_format",
    },
)


def understood(spelling: Spelling, words: list[str]) -> dict[str, Any] | None:
    """The arguments by name; None where a word is not of the plainest kind."""
    found: dict[str, Any] = {}
    places = list(spelling.places)
    rest = iter(words)
    for word in rest:
        if not word.startswith("-") or word == "-":
            if not places:
                return None
            if places[0].endswith(_MANY):
                found.setdefault(places[0].removesuffix(_MANY), []).append(word)
            else:
                found[places.pop(0)] = word
        elif word in spelling.flags:
            found[spelling.flags[word]] = True
        else:
            option, joined, value = word.partition("=")
            if not joined:
                value = next(rest, "-")
            # A value may look like an option; whether it is one is for click to say.
            if option not in spelling.values or value.startswith("-") or (joined and not option.startswith("--")):
                return None
            found[spelling.values[option]] = value
    return found if spelling.places[0].removesuffix(_MANY) in found else None


def plain_command(words: list[str]) -> Callable[[], int] | None:
    """What does the command of a command line; None where click has to look at it."""
    if not words or "_MMIOTOOLS_COMPLETE" in os.environ:
        return None
    if words[0] == "filter" and (arguments := understood(FILTER, words[1:])) is not None:
        from mmiotools.cli.filtering import Request, filter_trace

        request = Request()._replace(**arguments)
        return lambda: filter_trace(request)
    if words[0] == "info" and (arguments := understood(INFO, words[1:])) is not None:
        from mmiotools.cli.info_screen import summarise

        traces = tuple(arguments.pop("traces"))
        return lambda: summarise(traces, **arguments)
    return _plain_diff(words[1:]) if words[0] == "diff" else None


def _plain_diff(words: list[str]) -> Callable[[], int] | None:
    arguments = understood(DIFF, words)
    number = "" if arguments is None else arguments.pop("context", "3")
    if arguments is None or not (number.isascii() and number.isdigit()):
        return None
    from mmiotools.cli.differing import Request, compare_traces

    request = Request(tuple(arguments.pop("traces")), context=int(number))._replace(**arguments)
    return lambda: compare_traces(request)
