"""The scheduler: every interleaving once, queues, waiting, and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, islice

import pytest

from mmiotools.engine.cpu import Cpu
from mmiotools.engine.machine import Machine, Steps, Wait
from mmiotools.engine.schedule import Chooser, Scheduler, Script, by_chance, explore
from mmiotools.errors import Deadlock


class Bench:
    """A machine whose programs only say that they ran. `said` has their words, `ran` the CPUs switched to."""

    def __init__(self, cpus: int, chooser: Chooser | None = None) -> None:
        self.machine = Machine(cpus)
        self.said: list[str] = []
        self.ran: list[int] = []
        self.scheduler = Scheduler(self.machine, chooser or Script(), lambda cpu: self.ran.append(cpu.number))

    def program(self, word: str, steps: int, wait: Wait = None) -> Callable[[Cpu], Steps[str]]:
        """Says word0, word1 ... in so many micro-steps, with `wait` between them; returns its word."""

        def steps_of(cpu: Cpu) -> Steps[str]:
            for n in range(steps):
                if n:
                    yield wait
                self.said.append(f"{word}{n}")
            return word

        return steps_of


def interleavings(first: Sequence[str], second: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """All orders of two sequences that keep the order of each, by where the first's items go."""
    total = len(first) + len(second)
    for places in combinations(range(total), len(first)):
        left, right = iter(first), iter(second)
        yield tuple(next(left if n in places else right) for n in range(total))


def order(steps: Sequence[int], chooser: Chooser) -> tuple[str, ...]:
    """What was said when CPU n has a program of steps[n] micro-steps."""
    bench = Bench(len(steps), chooser)
    for number, count in enumerate(steps):
        bench.scheduler.start(number, bench.program("abc"[number], count))
    bench.scheduler.run()
    return tuple(bench.said)


@pytest.mark.parametrize("steps", [(1, 1), (1, 4), (3, 3), (4, 2), (5, 4)])
def test_every_interleaving_of_two_programs_once(steps: tuple[int, int]) -> None:
    found = list(explore(lambda chooser: order(steps, chooser)))
    words = [[f"{word}{n}" for n in range(count)] for word, count in zip("ab", steps, strict=True)]
    assert sorted(found) == sorted(interleavings(*words))


def test_three_programs() -> None:
    found = list(explore(lambda chooser: order((2, 2, 2), chooser)))
    assert len(found) == len(set(found)) == 90  # 6! / (2! 2! 2!)


def test_a_program_that_waits_is_no_choice() -> None:
    def run(chooser: Chooser) -> tuple[str, ...]:
        bench = Bench(2, chooser)
        first = bench.scheduler.start(0, bench.program("a", 3))
        bench.scheduler.start(1, bench.program("b", 2, wait=first.done))
        bench.scheduler.run()
        return tuple(bench.said)

    every = interleavings(["a0", "a1", "a2"], ["b0", "b1"])
    assert sorted(explore(run)) == sorted(one for one in every if one.index("b1") > one.index("a2"))


def test_exploring_stops_at_the_limit() -> None:
    whole = list(explore(lambda chooser: order((3, 3), chooser)))
    assert list(explore(lambda chooser: order((3, 3), chooser), limit=7)) == whole[:7]
    calls = 0

    def run(chooser: Chooser) -> int:
        nonlocal calls
        calls += 1
        return len(order((3, 3), chooser))

    assert list(islice(explore(run), 2)) == [6, 6]
    assert calls == 2


def test_a_script_is_followed_modulo_the_choices_and_then_the_first_goes_on() -> None:
    script = Script([1, 0, 3])
    assert order((3, 3), script) == ("b0", "a0", "b1", "a1", "a2", "b2")
    assert script.options == [2] * 5


def test_chance_repeats_with_its_seed() -> None:
    orders = [order((5, 5), by_chance(seed)) for seed in range(20)]
    assert orders == [order((5, 5), by_chance(seed)) for seed in range(20)]
    assert len(set(orders)) > 10


def test_tasks_queue_on_one_cpu_and_return_what_they_return() -> None:
    bench = Bench(2, Script([1] * 20))
    tasks = [bench.scheduler.start(1, bench.program(word, 2)) for word in "ab"]
    tasks.append(bench.scheduler.start(0, bench.program("c", 2)))
    assert not any(task.done() for task in tasks)
    bench.scheduler.run()
    assert bench.said == ["a0", "a1", "b0", "b1", "c0", "c1"]
    assert [(task.cpu.number, task.done(), task.result) for task in tasks] == [
        (1, True, "a"), (1, True, "b"), (0, True, "c")
    ]  # fmt: skip
    assert bench.ran == [1, 0]
    assert bench.machine.current is bench.machine.cpus[0]


def test_a_task_can_start_another_one() -> None:
    bench = Bench(2)

    def parent(cpu: Cpu) -> Steps[str]:
        child = bench.scheduler.start(1, bench.program("child", 3))
        yield child.done
        return child.result + "'s parent"

    task = bench.scheduler.start(0, parent)
    bench.scheduler.run()
    assert (bench.said, task.result) == (["child0", "child1", "child2"], "child's parent")


def test_who_stopped_the_world_runs_alone() -> None:
    bench = Bench(2, Script([0, 1, 0, 1, 0, 1]))

    def stopper(cpu: Cpu) -> Steps[None]:
        bench.machine.world = cpu
        for n in range(3):
            bench.said.append(f"alone{n}")
            yield None
        bench.machine.world = None

    bench.scheduler.start(0, stopper)
    bench.scheduler.start(1, bench.program("b", 3))
    bench.scheduler.run()
    assert bench.said == ["alone0", "alone1", "alone2", "b0", "b1", "b2"]


def test_everybody_waiting_is_a_deadlock() -> None:
    bench = Bench(3)
    tasks = {}

    def waiter(other: int) -> Callable[[Cpu], Steps[None]]:
        def steps_of(cpu: Cpu) -> Steps[None]:
            yield lambda: tasks[other].done()

        return steps_of

    tasks |= {number: bench.scheduler.start(number, waiter(2 - number)) for number in (0, 2)}
    bench.scheduler.start(1, bench.program("b", 4))
    with pytest.raises(Deadlock, match="every CPU waits: 0, 2"):
        bench.scheduler.run()
    assert bench.said == ["b0", "b1", "b2", "b3"]


def test_a_deadlock_behind_a_waiting_task_of_the_same_cpu() -> None:
    bench = Bench(1)
    tasks = []

    def first(cpu: Cpu) -> Steps[None]:
        yield lambda: tasks[1].done()

    tasks += [bench.scheduler.start(0, first), bench.scheduler.start(0, bench.program("b", 1))]
    with pytest.raises(Deadlock, match=r"every CPU waits: 0$"):
        bench.scheduler.run()
    assert not bench.said


@pytest.mark.parametrize("when", [0, 2])
def test_an_exception_on_another_cpu_comes_out(when: int) -> None:
    bench = Bench(2, Script([0, 1] * 10))

    def failing(cpu: Cpu) -> Steps[None]:
        for _ in range(when):
            yield None
        raise KeyError(cpu.number)

    task = bench.scheduler.start(0, bench.program("a", 5))
    failed = bench.scheduler.start(1, failing)
    with pytest.raises(KeyError, match=r"^1$"):
        bench.scheduler.run()
    assert bench.said == [f"a{n}" for n in range(when + 1)]
    assert not task.done()
    assert not failed.done()
