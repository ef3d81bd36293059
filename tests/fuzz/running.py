"""A campaign: inputs of one target, one after the other, in a process of its own that may crash, hang or be refused
memory. What is found is saved, made small, with a line that shows it again.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import signal
import struct
import time
from pathlib import Path
from typing import NamedTuple

from limits import Finding, limit_memory, run
from smaller import smaller
from targets import Input, Target

_STATE = struct.Struct("<QQQdQ")
#: Seconds without progress after which the process is ended: longer than any input's CPU time on a busy machine.
_STALL = 300.0


class Tally(NamedTuple):
    """What a campaign did."""

    target: str
    inputs: int = 0
    events: int = 0
    findings: int = 0
    cpu: float = 0.0
    kinds: tuple[str, ...] = ()

    def line(self) -> str:
        """For people."""
        kinds = f": {', '.join(self.kinds)}" if self.kinds else ""
        return (
            f"{self.target:14} {self.inputs:9,} inputs {self.events:11,} events {self.cpu:7.1f} s CPU "
            f"{self.findings} findings of {len(self.kinds)} kinds{kinds}"
        )


def campaign(target: Target, number: int, folder: Path, seconds: float, most: int | None = None) -> Tally:
    """Run a prepared target until so many CPU seconds are used, or so many inputs were looked at."""
    folder = folder / target.name
    total = Tally(target.name)
    index = 0
    while (most is None or index < most) and total.cpu < seconds:
        with mmap.mmap(-1, _STATE.size) as state:
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    _inputs(target, number, index, folder, state, seconds - total.cpu, most)
                    code = 0
                finally:
                    os._exit(code)
            problem = _watch(child, state)
            index, inputs, events, cpu, findings = _STATE.unpack_from(state)
        total = total._replace(
            inputs=total.inputs + inputs, events=total.events + events, findings=total.findings + findings,
            cpu=total.cpu + cpu,
        )  # fmt: skip
        if problem is not None:
            save(folder, target, target.input(number, index), Finding(problem, problem), number, index)
            index += 1
            total = total._replace(findings=total.findings + 1, inputs=total.inputs + 1)
    kinds = tuple(sorted(path.name for path in folder.iterdir())) if folder.exists() else ()
    return total._replace(kinds=kinds)


def _inputs(
    target: Target, number: int, index: int, folder: Path, state: mmap.mmap, seconds: float, most: int | None
) -> None:
    """What the child does: inputs from an index on."""
    limit_memory()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.environ["MMIOTOOLS_WORKERS"] = "0"
    inputs = events = findings = 0
    start = time.process_time()
    while (most is None or index < most) and (used := time.process_time() - start) < seconds:
        _STATE.pack_into(state, 0, index, inputs, events, used, findings)
        given = target.input(number, index)
        seen, finding = run(target.check, given)
        inputs += 1
        events += seen
        index += 1
        if finding is not None:
            findings += 1
            save(folder, target, given, finding, number, index - 1)
        _STATE.pack_into(state, 0, index, inputs, events, time.process_time() - start, findings)
        if finding is not None and finding.sign == "memory":
            return  # this process has its peak behind it and would notice no lower one


def _watch(child: int, state: mmap.mmap) -> str | None:
    """Wait for the child; what it died of, if it did not end by itself."""
    last, since = -1, time.monotonic()
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            break
        index = _STATE.unpack_from(state)[0]
        if index != last:
            last, since = index, time.monotonic()
        elif time.monotonic() - since > _STALL:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "stall"
        time.sleep(0.1)
    if os.WIFSIGNALED(status):
        return f"died-of-{signal.Signals(os.WTERMSIG(status)).name}"
    return None if os.WEXITSTATUS(status) == 0 else "ended"


def survives(target: Target, given: Input) -> str | None:
    """What happens to an input in a process of its own: the sign of the finding; None when all is well."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
            limit_memory()
            _, finding = run(target.check, given)
            os.write(write, b"" if finding is None else finding.sign.encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        told = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return f"died-of-{signal.Signals(os.WTERMSIG(status)).name}"
    return told or None


def save(folder: Path, target: Target, given: Input, finding: Finding, number: int, index: int) -> None:
    """The smallest input of each kind of finding, made smaller, and how to show it again."""
    place = folder / finding.sign.replace("/", "_")[:120]
    kept = place / "input"
    if kept.exists() and kept.stat().st_size <= len(given.data):
        return
    first = not kept.exists()
    place.mkdir(parents=True, exist_ok=True)
    if first and finding.sign != "stall":
        given = smaller(given, lambda other: survives(target, other) == finding.sign)
    kept.write_bytes(given.data)
    if given.how:
        (place / given.how).write_bytes(given.whole)
    command = f"python tests/fuzz {target.name} --input {kept}"
    about = {"target": target.name, "seed": number, "index": index, "bytes": len(given.data), "again": command}
    (place / "about.json").write_text(json.dumps(about) + "\n")
    (place / "why.txt").write_text(f"{command}\n\n{finding.text}\n")
