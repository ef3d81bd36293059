"""Card files: what is written is read back, people can edit them, and nothing in them brings a traceback."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_helpers import card_of, reg
from test_kinds import CASES, STEPS, A

from mmiotools.errors import FormatError, UsageError
from mmiotools.models.cardfile import card_text, read_card
from mmiotools.regmaps import load_maps


def all_kinds():
    """A card that has every kind, each in a page of its own."""
    recordings = []
    for page, (make, _, _) in enumerate(CASES.values(), 1):
        recordings += [(op, place._replace(offset=place.offset + page * 0x100), value) for op, place, value in make()]
    return card_of([*recordings, ("R", reg(0, 2, "BAR2"), 7)])


@pytest.fixture
def text():
    return card_text(all_kinds())


def read(text, folder):
    path = folder / "card.toml"
    path.write_text(text)
    return read_card(str(path))


def test_every_kind_is_read_back(text, tmp_path):
    card = read(text, tmp_path)
    assert card_text(card) == text
    assert {one.model.kind for one in card.registers} == {kind for _, kind, _ in CASES.values()}


@settings(max_examples=40)
@given(st.lists(STEPS, min_size=1, max_size=2))
def test_any_card_is_read_back(tmp_path_factory, recordings):
    card = card_of(*recordings)
    assert card_text(read(card_text(card), tmp_path_factory.mktemp("card"))) == card_text(card)


def test_a_card_is_a_register_map(text, tmp_path):
    (tmp_path / "card.toml").write_text(text)
    maps = load_maps(str(tmp_path / "card.toml"))
    assert {regmap.binding.bar for regmap in maps} == {0, 2}
    names = {register.name: register.offset for regmap in maps for register in regmap.registers}
    assert names["BAR0_0110_4"] == 0x110


def test_an_edited_card_answers_as_edited(tmp_path):
    card = card_of(CASES["constant"][0]())
    text = card_text(card).replace('kind = "constant"', 'kind = "storage"\npinned = true\necho = 0xf0')
    (one,) = read(text, tmp_path).registers
    one.model.wrote(0xFF)
    assert one.model.answer() == 0xF0
    assert one.pinned


MINIMAL = """
[card]
schema = "mmiotools.card/1"
vendor = 0x1234
device = 0xb11c
[registers.ID]
offset = 0x10
"""


def test_a_card_by_hand_needs_little(tmp_path):
    (one,) = read(MINIMAL, tmp_path).registers
    assert (one.place, one.model.kind, one.name) == (A, "storage", "ID")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("offset = 1\n", "is not valid TOML"),
        ("width = 3\nbar = 9\n", "registers.ID.bar: must be from 0x0 to 0x6"),
        ("colour = 1\n", "registers.ID.colour: is no key that is known"),
        ("model = 1\n", "registers.ID.model: must be a table"),
        ("[registers.ID.model]\nkind = 'magic'", "registers.ID.model.kind: no kind is called 'magic'"),
        ("[registers.ID.model]\nkind = 'storage'\nstep = 1", "registers.ID.model.step: is no key"),
        ("[registers.ID.model]\nkind = 'storage'\necho = 0x100000000", "model.echo: must be a whole number from 0"),
        ("[registers.ID.model]\nkind = 'storage'\nof = 'BAR9+0'", "model.of: must be a register as BAR"),
        ("[registers.ID.model]\nkind = 'constant'\nreset = -1", "model.reset: must be from 0x0 to 0xffffffff"),
        ("[registers.ID.model]\nkind = 'constant'\nreset = true", "model.reset: must be a whole number"),
        ("[registers.ID.model]\nkind = 'constant'\npinned = 1", "model.pinned: must be true or false"),
        ("[registers.ID.model]\nkind = 'poll-until'\nruns = []", "model.runs: must be a list of 1 to"),
        ("[registers.ID.model]\nkind = 'poll-until'\nruns = [{ reads = 1 }]", "model.runs: each run is a table"),
        ("[registers.ID.model]\nkind = 'fifo'\nvalues = [1, 'x']", "model.values: must be a whole number"),
        ("[registers.ID.model]\nkind = 'shift'\nselect = 40", "model.select: must be a whole number from 0 to 0x1f"),
        ("[registers.ID.model]\nkind = 'shift'\nselect = 1", "registers.ID.model.clock: is missing"),
        ("[registers.ID.model]\nkind = 'status'\n[registers.ID.model.table]\nx = 1", "'x' is no number"),
        ("[registers.ID.model]\nkind = 'shift'\n[registers.ID.model.frames]\n2 = '1'", "'2' is no row of bits"),
        ("[registers.TWIN]\noffset = 0x10", "registers.TWIN: is the same register as 'ID'"),
        ("[registers.X]\nwidth = 4", "registers.X.offset: is missing"),
        ("[extra]\n", "extra: is no key that is known"),
        ("x = " + "9" * 5000, "is not valid TOML"),
        ("x = " + "[" * 3000, "is nested too deep"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(tmp_path, more, message):
    with pytest.raises(FormatError) as error:
        read(MINIMAL + more, tmp_path)
    assert message in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "card.toml"))
    assert "\n" not in str(error.value)


def test_what_is_no_card(tmp_path):
    with pytest.raises(FormatError, match="no table 'card'"):
        read("[registers]\nID = 0", tmp_path)
    with pytest.raises(FormatError, match=r"card\.schema: is 'None'"):
        read("[card]\n", tmp_path)
    with pytest.raises(UsageError, match="no such file"):
        read_card(str(tmp_path / "none.toml"))
    with pytest.raises(UsageError, match="is a directory"):
        read_card(str(tmp_path))


@settings(max_examples=150)
@given(st.data())
def test_a_garbled_card_is_refused_or_read(tmp_path_factory, data):
    text = TEXT
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        upto = at + data.draw(st.integers(0, 12))
        put = data.draw(st.sampled_from(["", "-1", "0x", "true", '"', "[", "{", "=", "\n", "9" * 30, "'x'", "\0", "é"]))
        text = text[:at] + put + text[upto:]
    try:
        card = read(text, tmp_path_factory.mktemp("card"))
    except (FormatError, UsageError) as error:
        assert str(error)
        return
    assert card_text(card)


TEXT = card_text(all_kinds())
