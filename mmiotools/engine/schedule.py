"""Several CPUs at once: which of them makes the next micro-step, by chance, by a script, or in every possible way."""

from __future__ import annotations

import random

from mmiotools.engine.cpu import Cpu
from mmiotools.engine.machine import Machine, Steps, Wait
from mmiotools.errors import Deadlock
from mmiotools.typed import Any, Callable, Generator, Iterator, Sequence, TypeAlias, TypeVar

R = TypeVar("R")

#: Picks one of the CPU numbers that can run; it is asked only when there are two or more.
Chooser: TypeAlias = Callable[[Sequence[int]], int]

#: What a driver's generator may yield: an instruction, micro-steps, or a condition to wait for. It is sent ax, or what
#: the micro-steps returned.
Program: TypeAlias = Generator[Any, Any, Any]

#: Schedules that `explore` tries before it gives up.
EXPLORE_LIMIT = 60_000


class Task:
    """A program on a CPU. `done` can be yielded by others that wait for it; `result` is what it returned."""

    def __init__(self, cpu: Cpu, steps: Steps[Any]) -> None:
        self.cpu = cpu
        self.steps = steps
        self.result: Any = None
        self.over = False
        self.wait: Wait = None

    def done(self) -> bool:
        """Has it ended?"""
        return self.over


class OwnWait:
    """What the driver itself waits for, told from the locks of an engine."""

    def __init__(self, wait: Callable[[], bool]) -> None:
        self._wait = wait

    def __call__(self) -> bool:
        """Has it come?"""
        return self._wait()


class Stuck(Exception):
    """The driver's CPUs wait for each other, or for what never comes."""


class Scheduler:
    """Runs the tasks of a machine, one micro-step at a time.

    switched    called with the CPU that is about to run
    """

    def __init__(self, machine: Machine, chooser: Chooser, switched: Callable[[Cpu], None]) -> None:
        self._machine = machine
        self._chooser = chooser
        self._switched = switched
        self._queues: dict[int, list[Task]] = {cpu.number: [] for cpu in machine.cpus}

    def start(self, number: int, steps: Callable[[Cpu], Steps[Any]]) -> Task:
        """Put a program on a CPU, behind those that it has already."""
        cpu = self._machine.cpus[number]
        task = Task(cpu, steps(cpu))
        self._queues[number].append(task)
        return task

    def run(self) -> None:
        """Until every task is done. Raises what a task raises, and Deadlock when all of them wait; where it is the
        driver that makes them wait, its first task gets a Stuck.
        """
        machine = self._machine
        while True:
            heads = [queue[0] for queue in self._queues.values() if queue]
            if not heads:
                return
            if machine.world is not None:
                heads = [task for task in heads if task.cpu is machine.world]
            ready = [task for task in heads if task.wait is None or task.wait()]
            if not ready and all(isinstance(task.wait, OwnWait) for task in heads):
                heads[0].steps.throw(Stuck("waits for what will never come: no CPU can go on"))
            if not ready:
                raise Deadlock(f"every CPU waits: {', '.join(str(task.cpu.number) for task in heads)}")
            task = ready[0]
            if len(ready) > 1:
                number = self._chooser([one.cpu.number for one in ready])
                task = next(one for one in ready if one.cpu.number == number)
            if machine.current is not task.cpu:
                machine.current = task.cpu
                self._switched(task.cpu)
            self._step(task)

    def _step(self, task: Task) -> None:
        try:
            task.wait = next(task.steps)
        except StopIteration as stop:
            task.result, task.over = stop.value, True
            self._queues[task.cpu.number].remove(task)


def by_chance(seed: int) -> Chooser:
    """Every CPU is as likely as any other."""
    return random.Random(seed).choice


class Script:
    """A chooser that follows a list of choices, each taken modulo what there is to choose from; then the first.

    options     how many there were to choose from, at each choice made
    """

    def __init__(self, choices: Sequence[int] = ()) -> None:
        self.options: list[int] = []
        self._choices = choices

    def __call__(self, numbers: Sequence[int]) -> int:
        at = len(self.options)
        self.options.append(len(numbers))
        return numbers[self._choices[at] % len(numbers) if at < len(self._choices) else 0]


def explore(run: Callable[[Chooser], R], limit: int = EXPLORE_LIMIT) -> Iterator[R]:
    """What `run` gives for every interleaving there is, each once, at most `limit` of them.

    `run` has to build everything anew and to depend on nothing but the chooser.
    """
    choices: list[int] = []
    for _ in range(limit):
        script = Script(choices)
        yield run(script)
        choices = choices[: len(script.options)] + [0] * (len(script.options) - len(choices))
        while choices and choices[-1] + 1 >= script.options[len(choices) - 1]:
            choices.pop()
        if not choices:
            return
        choices[-1] += 1
