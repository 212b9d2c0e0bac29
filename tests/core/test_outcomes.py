"""How scripts end: one sentence on stderr and the exit status that docs/files.md lists, whichever script it is."""

import ast
from pathlib import Path

import pytest

from core.backend import BackendError
from core.files import FileError
from core.options import UsageError
from core.program import StoppedByError, run_program
from datasets import DataError

ROOT = Path(__file__).resolve().parents[2]


def raising(error):
    def run():
        raise error

    return run


@pytest.mark.parametrize(
    "error, status, sentence",
    [
        (UsageError("--epochs=0: too few"), 2, "--epochs=0: too few"),
        (FileError("results is a file"), 2, "results is a file"),
        (BackendError("no GPU"), 2, "no GPU"),
        (DataError("MNIST is damaged"), 2, "MNIST is damaged"),
        (StoppedByError("the disk is full"), 1, "the disk is full"),
        (StoppedByError("diverged", 3), 3, "diverged"),
        (MemoryError("Unable to allocate 8 TiB"), 1, "there is not enough memory (Unable to allocate 8 TiB)"),
        (MemoryError(), 1, "there is not enough memory"),
        (KeyboardInterrupt(), 130, "interrupted before training began; nothing was saved"),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_its_status(capsys, error, status, sentence):
    assert run_program("main.py", raising(error)) == status
    assert capsys.readouterr() == ("", f"main.py: {sentence}\n")


def test_what_goes_well_says_nothing(capsys):
    assert run_program("main.py", lambda: 0) == 0 and run_program("main.py", lambda: 143) == 143
    assert capsys.readouterr() == ("", "")


def test_a_defect_of_the_program_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run_program("main.py", raising(ZeroDivisionError()))


@pytest.mark.parametrize("script", sorted(path.name for path in ROOT.glob("*.py")))
def test_every_script_ends_there(script):
    """A script that caught errors by a list of its own would forget one."""
    source = (ROOT / script).read_text()
    if "__main__" not in source:
        return
    handlers = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ExceptHandler)]
    assert not [ast.unparse(each.type) for each in handlers if "KeyboardInterrupt" in ast.unparse(each.type)]
    assert "run_program(" in source or "run_sweep(" in source
