"""The documents: manual pages are up to date and complete, and every example in them does what they say."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from readme_examples import TOP, UPDATE, Example, furnish, needs_extra, readme_examples, shell

from mmiotools.cli.main import COMMANDS
from mmiotools.devices import DEVICES
from mmiotools.diff.views import VIEWS
from mmiotools.drivers import DRIVERS
from mmiotools.emu import missing_packages
from mmiotools.errors import EXIT_PRECEDENCE
from mmiotools.filters.predicates import PREDICATES
from mmiotools.formats import FORMATS
from mmiotools.replay.policy import POLICIES

MAN = TOP / "man"
README = (TOP / "README.md").read_text(encoding="utf-8")


def load_generator() -> ModuleType:
    """man/generate.py as a module."""
    spec = importlib.util.spec_from_file_location("man_generate", MAN / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATE = load_generator()


def page(name: str) -> str:
    """A committed manual page as plain text: roff escapes undone."""
    text = (MAN / name).read_text()
    for escape, plain in (("\\-", "-"), ("\\(ga", "`"), ("\\(ha", "^"), ("\\(ti", "~"), ("\\(aq", "'"), ("\\&", "")):
        text = text.replace(escape, plain)
    return re.sub(r"\\f[BIR]", "", text).replace("\\e", "\\")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to run examples in."""
    return furnish(tmp_path_factory.mktemp("desk"))


# -- manual pages ----------------------------------------------------------------------------------------------


def test_manual_pages_are_up_to_date() -> None:
    assert GENERATE.outdated() == [], f"run: {GENERATE.RERUN}"


def test_generator_names_pages_that_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = GENERATE.pages()
    for name, data in pages.items():
        (tmp_path / name).write_bytes(data)
    monkeypatch.setattr(GENERATE, "HERE", tmp_path)
    assert GENERATE.outdated() == []
    (tmp_path / "mmiotools.1").write_bytes(b"old\n")
    (tmp_path / "mmiotools-gone.1").write_bytes(b"")
    assert GENERATE.outdated() == ["mmiotools-gone.1", "mmiotools.1"]


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed: apt install groff-base")
@pytest.mark.parametrize("path", sorted(MAN.glob("*.[1-9]")), ids=lambda path: path.name)
def test_groff_finds_no_fault(path: Path) -> None:
    done = subprocess.run(["groff", "-man", "-ww", "-z", str(path)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_page_and_help_with_its_examples(name: str, cli) -> None:  # type: ignore[no-untyped-def]
    module = importlib.import_module(f"mmiotools.cli.{name}")
    assert module.EXAMPLES, f"mmiotools/cli/{name}.py needs EXAMPLES"
    text = page(f"mmiotools-{name}.1")
    assert f"mmiotools-{name}(1)" in page("mmiotools.1")
    assert re.search(rf"\b{name}\b", README), f"README.md does not mention {name}"
    helped = cli(name, "--help").stdout.decode()
    for what, line in module.EXAMPLES:
        assert line in text and line in helped and what in helped
    for param in module.command.params:
        for word in param.opts:
            assert not word.startswith("-") or (word in text and word in helped)


def test_everything_with_a_name_is_in_a_page() -> None:
    families = {
        "mmiotools-formats.5": FORMATS,
        "mmiotools-diff.1": VIEWS,
        "mmiotools-replay.1": POLICIES,
    }
    for name, registry in families.items():
        for member in registry.builtin_names():
            assert registry.get(member).title in page(name)
            assert re.search(rf"^(\.SS )?{member}$", page(name), re.MULTILINE), f"{name} lacks {member}"
    record = page("mmiotools-record.1")
    for member in [*DRIVERS.builtin_names(), *DEVICES.builtin_names()]:
        assert re.search(rf"^{member}$", record, re.MULTILINE), f"mmiotools-record.1 lacks {member}"
    language = page("mmiotools-filter.7").splitlines()
    for predicate in PREDICATES:
        assert {predicate.name, predicate.title, *predicate.examples} <= set(language)


def test_exit_statuses_are_in_the_main_page_and_in_the_readme() -> None:
    section = page("mmiotools.1").partition(".SH EXIT STATUS")[2].partition(".SH")[0]
    for status in EXIT_PRECEDENCE:
        assert f"\n{status}\n" in section
        assert f"\n| {status} | " in README


def test_every_format_has_a_specification() -> None:
    listed = (TOP / "formats" / "README.md").read_text()
    for name in FORMATS.builtin_names():
        row = re.search(rf"^\|[^|]*`{name}`[^|]*\| \[([\w-]+\.md)\]", listed, re.MULTILINE)
        assert row is not None, f"format '{name}' has no row in formats/README.md"
        assert (TOP / "formats" / row[1]).is_file(), f"format '{name}' has no page: write formats/{row[1]}"


# -- examples --------------------------------------------------------------------------------------------------

EXAMPLES = [
    (name, line) for name in COMMANDS for _, line in importlib.import_module(f"mmiotools.cli.{name}").EXAMPLES
] + [("mmiotools", line) for _, line in GENERATE.EXAMPLES]


@pytest.mark.parametrize(("name", "line"), EXAMPLES)
def test_example_of_a_command_works(name: str, line: str, desk: Path) -> None:
    done = shell(line, desk)
    assert done.returncode == (1 if line.startswith("mmiotools diff ") else 0), done.stderr
    assert "internal error" not in done.stderr and "Traceback" not in done.stderr
    told = done.stdout or re.search(r"-o \S+$|--html |^eval ", line)
    assert told, f"{line} prints nothing"


def hold(example: Example, desk: Path) -> None:
    """The example does what is shown, with the status that it says."""
    done = shell(example.line, desk)
    assert done.stdout == example.shown, f"{example.line}\n{done.stderr}\nif this is meant, run: {UPDATE}"
    assert done.returncode == example.status, f"{example.line}\n{done.stderr}"


def test_readme_examples_give_what_the_readme_shows(desk: Path) -> None:
    examples = readme_examples()
    assert examples and examples[0].line.startswith("mmiotools record nv-test | mmiotools filter 'write' |")
    for example in examples:
        if not needs_extra(example):
            hold(example, desk)


def test_readme_examples_that_need_an_extra(desk: Path) -> None:
    examples = [example for example in readme_examples() if needs_extra(example)]
    assert examples
    if missing_packages():
        pytest.skip(f"the [emu] extra is not installed: {', '.join(missing_packages())}")
    for example in examples:
        hold(example, desk)


def test_readme_has_the_two_commands_that_ci_runs() -> None:
    script = (TOP / ".ci" / "run").read_text()
    for pattern in re.findall(r"readme_line '([^']+)'", script):
        assert len(re.findall(pattern, README, re.MULTILINE)) == 1, f".ci/run looks for {pattern} in README.md"
    assert script.count("readme_line '") == 2
