"""The named defects of the fault engine: which ones the patch of 2007 and today's mainline kernel have.

Each can be switched on and off by itself. docs/quirks.md tells their stories.
"""

from __future__ import annotations

from mmiotools.errors import UsageError
from mmiotools.typed import Iterable, Iterator, NamedTuple

SEED, MAINLINE, FIXED = "seed", "mainline", "fixed"
COMPATS = (SEED, MAINLINE, FIXED)


class Quirk(NamedTuple):
    """A defect: its name, one line about it, and the compatibility modes that have it."""

    name: str
    title: str
    compats: tuple[str, ...]


_S, _M, _B = (SEED,), (MAINLINE,), (SEED, MAINLINE)

QUIRKS = (
    Quirk("inclusive-end", "A probe reaches one byte too far, and collides with the next one.", _S),
    Quirk("count-before-check", "A refused probe is counted all the same: the engine stays active for ever.", _S),
    Quirk(
        "overlap-start-only", "Only a probe's first address is held against the others: one may enclose another.", _B
    ),
    Quirk("probe-per-page", "A probe is refused when another one covers the first byte of the page it begins in.", _M),
    Quirk("last-page-missed", "The last page of an unaligned probe is not armed.", _S),
    Quirk(
        "page-base-lookup",
        "Probes are looked up by the page's first address: the first page of an unaligned probe is not recorded.",
        _M,
    ),
    Quirk("rearm-after-unregister", "A step that ends after its probe went away arms the page, for ever.", _S),
    Quirk("global-context", "All CPUs share one note of the step under way.", _S),
    Quirk("lock-across-step", "The lock is held from the page fault to the debug trap: a second fault hangs.", _S),
    Quirk("refault-resteps", "A fault while stepping starts another step, over the saved flags.", _S),
    Quirk("fault-before-sync", "Faults are claimed before missing directory entries are synced.", _B),
    Quirk("page-open-to-others", "A page that is stepped on is present for every CPU, not for one.", _B),
    Quirk("local-flush", "A page that is armed again is forgotten by the CPU's own TLB only.", _B),
    Quirk("double-arm", "A page armed twice loses its entry: the saved one is the cleared one.", _M),
    Quirk("one-page-context", "A step knows one page: an instruction that touches two armed ones is lost.", _B),
    Quirk("large-page-bug", "A probe on a large page stops the kernel.", _S),
    Quirk(
        "large-page-stride", "All pages are taken to be as large as the first: small ones at the end are not armed.", _M
    ),
    Quirk("pte-nonatomic", "The present bit is changed by a read and a write: a change in between is undone.", _S),
    Quirk("late-flush", "TLBs are flushed after a new probe's lock was released: accesses get through before.", _S),
    Quirk("no-register-flush", "TLBs are not flushed for a new probe: CPUs that know the page go on unseen.", _M),
    Quirk("any-debug-trap", "Every debug trap during a step is taken for its end: breakpoints are swallowed.", _S),
    Quirk("flags-or", "Flags are put back with OR: an instruction that clears the interrupt flag is undone.", _B),
    Quirk("ignore-error-code", "Protection faults are taken for the engine's own.", _B),
    Quirk("partial-registration", "A probe that cannot be armed as a whole is armed in part.", _B),
    Quirk("silent-drop", "Accesses in an armed page but outside its probes are not even counted.", _B),
    Quirk("invert-map-no-flush", "The map that undoes a probe's redirection is changed without a TLB flush.", _S),
    Quirk("old-decoder", "Plain moves only are decoded, some constants wrongly; the rest is UNKNOWN.", _B),
    Quirk("late-timestamp", "Events are stamped when the step has ended, not when the access began.", _B),
    Quirk("any-range", "Probes of no length or past the last address are accepted, and see nothing.", _B),
)

_NAMES = tuple(quirk.name for quirk in QUIRKS)


class Quirks:
    """Which defects are on. Every quirk is an attribute, with underscores for hyphens."""

    inclusive_end: bool
    count_before_check: bool
    overlap_start_only: bool
    probe_per_page: bool
    last_page_missed: bool
    page_base_lookup: bool
    rearm_after_unregister: bool
    global_context: bool
    lock_across_step: bool
    refault_resteps: bool
    fault_before_sync: bool
    page_open_to_others: bool
    local_flush: bool
    double_arm: bool
    one_page_context: bool
    large_page_bug: bool
    large_page_stride: bool
    pte_nonatomic: bool
    late_flush: bool
    no_register_flush: bool
    any_debug_trap: bool
    flags_or: bool
    ignore_error_code: bool
    partial_registration: bool
    silent_drop: bool
    invert_map_no_flush: bool
    old_decoder: bool
    late_timestamp: bool
    any_range: bool

    def __init__(self, names: Iterable[str] = ()) -> None:
        on = set(names)
        for name in on:
            check_quirk(name)
        for name in _NAMES:
            setattr(self, name.replace("-", "_"), name in on)

    def __iter__(self) -> Iterator[str]:
        """The names of those that are on, in table order."""
        return (name for name in _NAMES if getattr(self, name.replace("-", "_")))

    def __contains__(self, name: str) -> bool:
        return name in list(self)


def check_quirk(name: str) -> None:
    """Nothing, or UsageError when no quirk has this name."""
    if name not in _NAMES:
        raise UsageError(f"no quirk is called '{name}'; see: mmiotools list quirks")


def choose_quirks(compat: str = FIXED, on: Iterable[str] = (), off: Iterable[str] = ()) -> Quirks:
    """The quirks of a compatibility mode, with single ones switched on and off. Raises UsageError."""
    if compat not in COMPATS:
        raise UsageError(f"no compatibility mode is called '{compat}'; there are: {', '.join(COMPATS)}")
    on, off = set(on), set(off)
    for name in sorted(on | off):
        check_quirk(name)
    if on & off:
        raise UsageError(f"quirk '{min(on & off)}' is switched both on and off")
    return Quirks({quirk.name for quirk in QUIRKS if compat in quirk.compats} - off | on)
