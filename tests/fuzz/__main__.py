"""Fuzzes every reader of mmiotools: spoilt inputs, and what must hold for any input.

    python tests/fuzz                                  every target, a CPU minute each
    python tests/fuzz jsonl native --minutes 10        two of them, ten CPU minutes each
    python tests/fuzz jsonl --guided --minutes 10      guided by coverage; needs `pip install atheris`
    python tests/fuzz jsonl --input FINDING/input      one input again, with its traceback

Exit status: 0 nothing found, 1 something was found, 2 cannot do it.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import guided


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(
        prog="python tests/fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", help="formats, compressions and settings; all if none is named")
    parser.add_argument("--minutes", type=float, default=1.0, help="of CPU time for each target")
    parser.add_argument("--inputs", type=int, help="stop after so many inputs of each target")
    parser.add_argument(
        "--seed", type=int, default=1, help="what the inputs are made from; the same seed, the same inputs"
    )
    parser.add_argument("--built", type=int, default=60, help="how many inputs hypothesis builds to begin with")
    parser.add_argument("--jobs", type=int, default=1, help="targets at the same time")
    parser.add_argument(
        "--guided", action="store_true", help="let atheris choose inputs by coverage, where it is installed"
    )
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), help="the folder for what is found")
    parser.add_argument("--input", type=Path, help="look at this input of the one target named, and tell what happens")
    parser.add_argument("--list", action="store_true", help="the names of all targets")
    options = parser.parse_args()
    if options.guided and not guided.HAVE:
        print("--guided needs atheris: pip install atheris", file=sys.stderr)
        return 2
    if options.guided:
        guided.instrument()
    import targets

    known = targets.targets()
    if options.list:
        print("\n".join(known))
        return 0
    chosen = options.targets or list(known)
    if unknown := set(chosen) - set(known):
        print(f"no target is called {', '.join(sorted(unknown))}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    if options.input is not None:
        return again(known[chosen[0]], options.input)
    for name in chosen:
        if (reason := known[name].missing) is not None:
            print(f"{name:14} left out: {reason}", flush=True)
    chosen = [name for name in chosen if known[name].missing is None]
    found = 0
    context = get_context("fork")
    with ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
        waiting = [pool.submit(one, name, options) for name in chosen]
        for future in waiting:
            tally = future.result()
            found += tally.findings
            print(tally.line(), flush=True)
    return 1 if found else 0


def one(name: str, options: argparse.Namespace) -> object:
    """The campaign of one target."""
    import running
    import targets

    seconds = options.minutes * 60
    if options.guided:
        return guided.campaign(name, options.seed, options.findings.absolute(), seconds)
    target = targets.targets()[name]
    target.prepare(options.seed, options.built)
    return running.campaign(target, options.seed, options.findings.absolute(), seconds, options.inputs)


def again(target: object, path: Path) -> int:
    """Look at one input that was saved."""
    import limits
    from targets import Input, Target

    assert isinstance(target, Target)
    given = Input(path.read_bytes())
    for how in ("cut", "flip", "long"):
        if (path.parent / how).exists():
            given = Input(given.data, (path.parent / how).read_bytes(), how)
    os.environ["MMIOTOOLS_WORKERS"] = "0"
    limits.limit_memory()
    events, finding = limits.run(target.check, given)
    print(finding.text if finding is not None else f"{events} events, nothing wrong")
    return 0 if finding is None else 1


if __name__ == "__main__":
    sys.exit(main())
