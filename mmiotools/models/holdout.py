"""Holds parts of a card's recordings out, learns from the others, and counts how the held-out reads are answered."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from mmiotools.models.confidence import Evidence
from mmiotools.models.learn import learn
from mmiotools.models.predict import Predictor, path_of
from mmiotools.models.step import Step, perturbed, steps
from mmiotools.models.stream import READ, WRITE, Stream
from mmiotools.typed import Iterable, Iterator

#: Parts of the only recording, and recordings that are held out of many.
_PARTS, _RECORDINGS = 4, 8
#: Accesses of a recording that are looked at, the first ones.
_MOST = 1 << 16
#: How much of a held-out recording is changed, when it is answered again.
_CHANGED = 0.05


def gather(stream: Stream) -> Evidence:
    """What the recordings tell of how sure answers are: of several each is answered from the others, as recorded and
    with accesses dropped or repeated; of one, each quarter from the other three. Learns up to eight times.
    """
    spans = [(span.start, min(span.stop, span.start + _MOST)) for span in stream.spans() if span.stop > span.start]
    evidence = Evidence(across=len(spans) > 1)
    if len(spans) > 1:
        for held in range(min(len(spans), _RECORDINGS)):
            rest = _joined(stream, spans[:held] + spans[held + 1 :])
            driver = _joined(stream, [spans[held]])
            for made in (steps(driver), perturbed(driver, _CHANGED, held)):
                _count(evidence, rest, made, 0)
    elif spans:
        edges = np.linspace(*spans[0], _PARTS + 1).astype(np.intp).tolist()
        for start, stop in pairwise(edges):
            rows = np.concatenate([np.arange(edges[0], start), np.arange(stop, edges[-1])])
            if len(rows):
                driver = stream.only(slice(edges[0], stop), [0, stop - edges[0]])
                _count(evidence, stream.only(rows, [0, len(rows)]), steps(driver), start - edges[0])
    return evidence


def _joined(stream: Stream, spans: Iterable[tuple[int, int]]) -> Stream:
    rows = [np.arange(start, stop) for start, stop in spans]
    return stream.only(np.concatenate(rows), np.cumsum([0, *map(len, rows)]).tolist())


def _count(evidence: Evidence, known: Stream, driver: Iterator[Step], skip: int) -> None:
    """Answer a driver from what is known, and count its reads but those of the first `skip` accesses."""
    learned = learn(known)
    predictor = Predictor(learned, known.vocabulary, path_of(known, learned))
    for at, step in enumerate(driver):
        if step.op == READ:
            answer = predictor.read(step.register)
            if step.counts and at >= skip:
                evidence.add(step.register, answer.cell, answer.value == step.value)
        elif step.op == WRITE and step.value is not None:
            predictor.write(step.register, step.value)
