"""What the options of `diff` about noise do."""

from __future__ import annotations

from mmiotools.cli.common import Run, open_bytes
from mmiotools.diff.groups import Group
from mmiotools.diff.rules import RULES, Rule, check_rules
from mmiotools.errors import UsageError
from mmiotools.typed import TYPE_CHECKING, Record, Sequence

if TYPE_CHECKING:
    from mmiotools.diff.learn import Noise
    from mmiotools.filters.masks import MaskFile
    from mmiotools.trace.names import Names


class Told(Record):
    """What the options say about noise; a field an option."""

    repeat_a: tuple[str, ...]
    repeat_b: tuple[str, ...]
    groups: tuple[str, ...]
    mask: tuple[str, ...]
    ignore: tuple[str, ...]
    learn_mask: str | None
    no_rule: tuple[str, ...]

    def rules(self) -> tuple[Rule, ...]:
        """The rules that are on. Raises UsageError."""
        if "all" in self.no_rule:
            return ()
        check_rules(self.no_rule)
        return tuple(rule for rule in RULES if rule.name not in self.no_rule)

    def said(self, names: Names | None) -> MaskFile:
        """All masks, in which registers may have these names. Raises UsageError."""
        from mmiotools.filters.masks import read_all

        return read_all(self.mask, self.ignore, names)

    def paths(self, traces: Sequence[str]) -> dict[str, list[str]]:
        """The files of each version, the one that stands for it first. Raises UsageError."""
        if not self.groups:
            if len(traces) < 2:
                raise UsageError("two traces are needed, A and B")
            twice = {path for path in traces if traces.count(path) > 1}
            found = {f"{path} ({at})" if path in twice else path: [path] for at, path in enumerate(traces, 1)}
            if (self.repeat_a or self.repeat_b) and len(traces) > 2:
                raise UsageError("--repeat-a and --repeat-b are for two traces; use --group with more")
            for name, repeats in zip(found, (self.repeat_a, self.repeat_b), strict=False):
                found[name].extend(repeats)
            return found
        if traces or self.repeat_a or self.repeat_b:
            raise UsageError("with --group, all recordings are named by it")
        groups: dict[str, list[str]] = {}
        for word in self.groups:
            name, equals, path = word.partition("=")
            if not (name and equals and path):
                raise UsageError(f"--group '{word}': give it as NAME=FILE")
            groups.setdefault(name, []).append(path)
        if len(groups) < 2:
            raise UsageError("--group needs two names at least")
        return groups


def learn_all(
    run: Run, told: Told, groups: Sequence[Group], inputs: tuple[str, ...], names: Names | None
) -> Noise | None:
    """Learn from all groups, and write what was learned if that is asked for. None where there is nothing to learn."""
    if not (told.mask or told.ignore or told.learn_mask or any(len(group.recordings) > 1 for group in groups)):
        return None
    from mmiotools.diff.learn import learn

    said = told.said(names)
    recordings = [recording for group in groups for recording in group.recordings]
    for mask in said.masks:
        if not any(mask.rows(recording).any() for recording in recordings):
            run.say(f"mask '{mask.text}' is for no access of these traces")
    noise = learn([group.recordings for group in groups], said)
    if told.learn_mask is not None:
        from mmiotools.diff.learned import learned_lines

        with open_bytes(told.learn_mask, inputs, binary=False) as out:
            for line in learned_lines(noise, recordings):
                out.write(f"{line}\n".encode())
    return noise
