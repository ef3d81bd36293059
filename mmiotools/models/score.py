"""How well a card's models answer a recording that they were not learned from, beside what needs no learning.

The recording is taken for a driver that makes its accesses: at each read every strategy says what it would answer,
and is right if that is the recorded value. No strategy ever sees a recorded answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mmiotools.models.holdout import gather
from mmiotools.models.learn import Learned
from mmiotools.models.naive import LastValue, PlainRam, RegisterQueue, Sequence, Strategy
from mmiotools.models.predict import Predictor, path_of
from mmiotools.models.step import Step
from mmiotools.models.stream import READ, WRITE, Stream, Vocabulary
from mmiotools.typed import Any, Iterable

#: Confidences are compared with what was right in so many bins of equal width.
BINS = 10


@dataclass(slots=True)
class Score:
    """What came of one held-out recording.

    reads   that counted
    right   strategy → how many of them it answered right
    bins    of the model's confidences: (reads, sum of confidences, right ones), BINS of them
    """

    reads: int = 0
    right: dict[str, int] = field(default_factory=dict)
    bins: list[tuple[int, float, int]] = field(default_factory=lambda: [(0, 0.0, 0)] * BINS)

    def share(self, strategy: str) -> float:
        """The share that a strategy answered right, 0 to 1."""
        return self.right[strategy] / self.reads if self.reads else 0.0

    @property
    def best_naive(self) -> str:
        """The best of the strategies that learn nothing."""
        return max(NAIVE, key=lambda name: self.right[name])

    @property
    def calibration_error(self) -> float:
        """Mean distance between stated and true chance, each bin weighted by its reads."""
        return sum(abs(stated - right) for _, stated, right in self.bins) / self.reads if self.reads else 0.0

    def add(self, other: Score) -> None:
        """Take the reads of another score in."""
        self.reads += other.reads
        for name, count in other.right.items():
            self.right[name] = self.right.get(name, 0) + count
        self.bins = [(a + d, b + e, c + f) for (a, b, c), (d, e, f) in zip(self.bins, other.bins, strict=True)]

    def as_json(self) -> dict[str, Any]:
        """JSON fit: shares to four digits."""
        return {
            "reads": self.reads,
            "right": {name: round(self.share(name), 4) for name in (*NAIVE, SEQUENCE_LAST, MODELS, MODEL)},
            "best_naive": self.best_naive,
            "calibration_error": round(self.calibration_error, 4),
            "bins": [
                {
                    "from": at / BINS,
                    "reads": reads,
                    "stated": round(stated / reads, 4) if reads else None,
                    "right": round(right / reads, 4) if reads else None,
                }
                for at, (reads, stated, right) in enumerate(self.bins)
            ],
        }


#: Strategies: those that learn nothing, the models of the registers alone, and models with the recorded path.
NAIVE = ("plain-ram", "last-value", "queue", "sequence")
#: The last one, and what was last read or written where it has no answer: two strategies in one, beside the four.
SEQUENCE_LAST = "sequence-else-last"
MODELS, MODEL = "models", "model"


class Judge:
    """Scores recordings against one card. `stream` is what it was learned from; the strategies that learn nothing
    have the first of its recordings. Holds parts of the stream out first, to know how sure to be.
    """

    def __init__(self, stream: Stream, learned: Iterable[Learned]) -> None:
        self._stream = stream
        self._learned = list(learned)
        self._path = path_of(stream, self._learned)
        self._first = stream.first()
        self._evidence = gather(stream)

    @property
    def vocabulary(self) -> Vocabulary:
        """Numbers for registers, for the recordings to be scored."""
        return self._stream.vocabulary

    def score(self, driver: Iterable[Step]) -> Score:
        """Let every strategy answer one driver. About 20 microseconds an access."""
        naive: dict[str, Strategy] = {
            "plain-ram": PlainRam(),
            "last-value": LastValue(self._first),
            "queue": RegisterQueue(self._first),
            "sequence": Sequence(self._first),
            SEQUENCE_LAST: Sequence(self._first, last=True),
        }
        models = Predictor(self._learned, self.vocabulary)
        right = dict.fromkeys(naive, 0)
        answers: list[tuple[Step, int]] = []
        for step in driver:
            # Models are machines with a state: two predictors share them, and so run one after the other.
            answers.append((step, models.read(step.register).value if step.op == READ else 0))
            if step.op == WRITE and step.value is not None:
                models.write(step.register, step.value)
        model = Predictor(self._learned, self.vocabulary, self._path, self._evidence)
        bins = [[0, 0.0, 0] for _ in range(BINS)]
        reads = alone = with_path = 0
        for step, from_models in answers:
            register, op, value, counts = step
            if op == WRITE and value is not None:
                model.write(register, value)
                for strategy in naive.values():
                    strategy.write(register, value)
            elif op == READ:
                answer = model.read(register)
                given = {name: strategy.read(register) for name, strategy in naive.items()}
                if not counts:
                    continue
                reads += 1
                for name, got in given.items():
                    right[name] += got == value
                alone += from_models == value
                with_path += answer.value == value
                held = bins[min(BINS - 1, int(answer.confidence * BINS))]
                held[0] += 1
                held[1] += answer.confidence
                held[2] += answer.value == value
        tally = {**right, MODELS: alone, MODEL: with_path}
        return Score(reads, tally, [(int(n), stated, int(good)) for n, stated, good in bins])
