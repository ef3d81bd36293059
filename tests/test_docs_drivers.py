"""The pages in docs/: every command gives what is shown, and code, paths, quirks and scenario keys are real."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from readme_examples import BLOCK, TOP, examples_of, furnish, needs_extra, shell

from mmiotools.devices import make_device
from mmiotools.drivers import choose_driver
from mmiotools.emu import missing_packages
from mmiotools.engine.quirks import QUIRKS
from mmiotools.engine.session import run_driver
from mmiotools.engine.setup import OPTIONS
from mmiotools.record.plan import SCENARIO_KEYS

DOCS = {path.name: path.read_text(encoding="utf-8") for path in sorted((TOP / "docs").glob("*.md"))}
PAGE = DOCS["writing-drivers-and-cards.md"]
CARD, DRIVER = str(TOP / "samples/cards/blinker.py"), str(TOP / "samples/drivers/blink.py")
WATCH = str(TOP / "samples/drivers/watch.py")


@pytest.mark.parametrize("name", DOCS)
def test_every_command_gives_what_is_shown(name, tmp_path):
    page = DOCS[name]
    examples = [example for block in BLOCK.findall(page) for example in examples_of(block)]
    assert len(examples) == page.count("\n$ ")
    if not examples:
        pytest.skip("no example with its output")
    skipped = [example for example in examples if needs_extra(example) and missing_packages()]
    desk = furnish(tmp_path)
    for example in examples:
        if example not in skipped:
            done = shell(example.line, desk)
            assert (done.returncode, done.stdout) == (example.status, example.shown), example.line + done.stderr
            assert "Traceback" not in done.stderr
    if skipped:
        pytest.skip(f"the [emu] extra is not installed: {', '.join(missing_packages())}")


def test_every_key_of_a_scenario_is_described():
    table = PAGE[PAGE.index("\n| Key | ") : PAGE.index("\nFiles in it")]
    cells = " ".join(row.split("|")[1] for row in table.strip().split("\n")[2:])
    assert set(re.findall(r"\w+", cells)) == {*SCENARIO_KEYS, *OPTIONS}


def test_every_quirk_has_its_story():
    assert re.findall(r"^### (\S+)$", DOCS["quirks.md"], re.MULTILINE) == [quirk.name for quirk in QUIRKS]


def test_code_and_paths_are_real():
    samples = Path(CARD).read_text() + Path(DRIVER).read_text() + Path(WATCH).read_text()
    pieces = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(pieces) == 3
    assert all(piece in samples for piece in pieces)
    for path in re.findall(r"`((?:samples|mmiotools)/[\w/.]+)`", PAGE):
        assert (TOP / path).exists(), path
    for name in re.findall(r"`(\w+\.py)`", PAGE):
        assert (TOP / "mmiotools" / "drivers" / name).exists(), name


@pytest.mark.parametrize("version", ["1", "2"])
def test_the_samples_work(version):
    card = make_device(CARD)
    outcome = run_driver(choose_driver(f"{DRIVER}@{version}").driver.versions[version], card, emit=lambda event: None)
    assert outcome.returned == 0
    assert [seen.value for seen in outcome.seen if seen.offset == 8] == [0, 1, 2, 3]
    state = card.snapshot()
    card.reset()
    assert (card.read("BAR0", 4, 4), card.read("BAR0", 8, 4), card.read("BAR0", 0x10, 4)) == (0, 0, 0)
    card.write("BAR0", 4, 4, 77)
    other = make_device(CARD)
    other.restore(state)
    assert other.snapshot() == state != card.snapshot()
    other.restore(card.snapshot())
    assert other.read("BAR0", 4, 4) == 77


def test_the_driver_refuses_other_cards():
    probe = choose_driver(DRIVER).driver.versions["1"]
    assert run_driver(probe, make_device("uart"), emit=lambda event: None).returned == -19
    card = make_device(CARD)
    card.write_bar = lambda *where: None
    outcome = run_driver(probe, card, emit=lambda event: None)
    assert (outcome.returned, outcome.log) == (-110, ["blink: the lamp does not switch"])
