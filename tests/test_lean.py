"""numpy imported as far as it is needed: nothing of ours asks for the rest, and whoever does gets numpy as it is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmiotools.speed import compiled

_SET_UP = "import sys\nfrom mmiotools import __main__ as start\nsys.meta_path.insert(0, start._FindNumpy)\n"


def answer(code: str, before: str = _SET_UP) -> str:
    """What a Python of its own prints that imports numpy as a command does."""
    done = subprocess.run([sys.executable, "-c", before + code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_nothing_of_ours_asks_for_the_rest() -> None:
    package = Path(__file__).resolve().parent.parent / "mmiotools"
    names = {name for path in package.rglob("*.py") for name in re.findall(r"\bnp\.([A-Za-z_]\w*)", path.read_text())}
    assert "zeros" in names and "isin" in names
    # These ask whether something is a matrix; what does not lies in `trace/arrays.py`.
    assert not names & {"append", "flatnonzero", "matrix", "ravel", "split", "union1d"}
    code = f"""
import numpy as np
for name in {sorted(names)}:
    getattr(np, name)
    assert "__all__" not in vars(np), name
"""
    assert answer(code) == ""


@pytest.mark.parametrize("engine", ["auto", "numpy"])
@pytest.mark.parametrize(
    "words",
    [
        "info samples/native/nvme-linux6.1.mmio",
        "filter read samples/native/nvme-linux6.1.mmio -t jsonl",
        "convert samples/mmiotrace/nvme-linux6.1.mmiotrace -t vcd",
        "diff samples/mmiotrace/nvme-linux6.1.mmiotrace samples/mmiotrace/nvme-linux6.12.mmiotrace",
        "diff --stat --regs e1000 --repeat-a samples/versions/e1000/base-2.mmio "
        "samples/versions/e1000/base-1.mmio samples/versions/e1000/value-1.mmio",
    ],
)
def test_commands_need_the_core_alone(top: Path, monkeypatch: pytest.MonkeyPatch, engine: str, words: str) -> None:
    """In all of their processes."""
    monkeypatch.setenv("MMIOTOOLS_ENGINE", engine)
    command = [sys.executable, "-X", "importtime", "-m", "mmiotools", *words.split()]
    done = subprocess.run(command, cwd=top, capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 1)
    assert "numpy._core" in done.stderr or words.startswith("info")
    assert "numpy.matrixlib" not in done.stderr
    if words.startswith("diff samples") and engine == "auto" and compiled() is not None:
        # This is what takes longest of what is imported for single functions.
        assert "numpy.lib." not in done.stderr


def test_what_c_code_imports_is_there_before_it() -> None:
    """So that Ctrl-C cannot become an error of that import, which is no Ctrl-C any more."""
    code = """
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy._core._multiarray_umath":
            print("datetime" in sys.modules)
sys.meta_path.insert(0, Watch())
import numpy as np
np.zeros
"""
    assert answer(code) == "True"


def test_the_parts_are_those_of_the_whole() -> None:
    code = """
import numpy as np
from mmiotools.lean import _ELSEWHERE
early = {name: getattr(np, name) for name in [*vars(np), *_ELSEWHERE]}
assert "__all__" not in vars(np)
assert "zeros" in np.__all__
own = "__all__", "__builtins__", "__doc__", "__getattr__", "__loader__", "__spec__"
print([name for name, thing in early.items() if name not in own and getattr(np, name) is not thing])
print([name for name in np.__all__ if not hasattr(np, name)])
print(np.__spec__.loader is np.__loader__, np.__version__ == sys.modules["numpy.version"].version)
"""
    assert answer(code).splitlines() == ["[]", "[]", "True True"]


@pytest.mark.parametrize(
    "code",
    [
        "import numpy.ma; print(numpy.ma.masked_array([1], [True]).count())",
        "import numpy.linalg; print(int(numpy.linalg.norm([0])))",
        "import numpy.lib, numpy; print(numpy.lib.scimath.sqrt(0).astype(int))",
        "from numpy.lib.stride_tricks import as_strided; import numpy; print(as_strided(numpy.zeros(1, int))[0])",
        "from numpy import *; print(trapezoid([0]).astype(int))",
        "import numpy, pickle; print(int(pickle.loads(pickle.dumps(numpy.zeros(1))).sum()))",
        "import numpy.random; print(numpy.random.default_rng(1).integers(1))",
        "import numpy\ntry: numpy.nothing\nexcept AttributeError as error: print(int('has no' not in str(error)))",
        "import numpy\nprint(int(hasattr(numpy, 'nothing') or not hasattr(numpy, 'matrix')))",
    ],
)
def test_it_can_be_used_as_ever(code: str) -> None:
    assert answer(code) == answer(code, "") == "0"


def test_a_numpy_of_another_build_is_imported_whole() -> None:
    code = "import numpy as np\nprint('__all__' in vars(np), bool(np.add.__doc__), np.zeros(1).sum())"
    for spoilt in ("_CORE = ('elsewhere',)", "_DOCUMENTATION = (0,)", "_bare_package = None"):
        assert answer(f"import mmiotools.lean\nmmiotools.lean.{spoilt}\n{code}") == "True True 0.0"
    assert answer("import numpy as np\nprint('__all__' in vars(np))") == "False"
