"""docs/one-batch.md: it names the files that an update runs through, all of them and no other, and
what it names is there."""

import ast
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import main
import run
from core.backend import Workers, select_backend
from datasets.samples import Images, divided_table, published_table
from dfc.build import build_system
from dfc.draws import Draws

ROOT = Path(__file__).resolve().parents[2]
_, *PARTS = re.split(r"^## (.+)$", (ROOT / "docs" / "one-batch.md").read_text(), flags=re.MULTILINE)
SECTIONS = dict(zip(PARTS[::2], PARTS[1::2], strict=True))
ITEMS = [item for text in SECTIONS.values() for item in re.findall(r"^\d+\. `(.+?)`: (.+)$", text, re.MULTILINE)]
SIDE, CLASSES, BATCH = 6, 4, 5


def images(table, backend, target):
    random = np.random.default_rng(1)
    pixels = random.integers(0, 256, (2 * BATCH, SIDE), dtype=np.uint8)
    return Images(pixels, random.integers(0, CLASSES, 2 * BATCH), table, backend, target, CLASSES)


def of_dfc_ssa(workers):
    """(learner, samples) of main.py."""
    sizes = [f"--size_input={SIDE}", "--size_hidden=[7, 7]", f"--size_output={CLASSES}"]
    settings, backend = main.parse(["--network_type=DFC-SSA", *sizes]), select_backend("numpy")
    settings = settings.change(task="classification")
    learner = build_system(settings.system, backend, workers, Draws(1, backend)).learner
    return learner, images(published_table(0.1307, 0.3081), backend, "labels")


def of_gait(workers):
    """(learner, samples) of run.py."""
    options, rule_options = run.parse(["--algorithm=GAIT", "--orthogonal_reg=0.1", "--nb_layers=2"])
    backend = select_backend("numpy")
    samples = images(divided_table(255, backend.dtype), backend, "one_hot")
    return run.build_learner(options, rule_options, samples, backend, workers), samples


def files_of(act):
    """The files of the program in which a function is called by `act()`."""
    found = set()

    def note(frame, event, _):
        # a class body is code too, but no function
        if event == "call" and frame.f_code.co_flags & 1:
            found.add(Path(frame.f_code.co_filename))

    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
    own = {path.relative_to(ROOT) for path in found if ROOT in path.parents and "site-packages" not in path.parts}
    return {path.as_posix() for path in own if path.parts[0] != "tests"}


@pytest.mark.parametrize(("name", "build"), (("DFC-SSA", of_dfc_ssa), ("GAIT-prop", of_gait)))
def test_the_files_of_an_update_are_those_of_the_page(name, build):
    learner, samples = build(Workers())
    learner.step(*samples.batch(slice(BATCH)), (0, 0))
    found = files_of(lambda: learner.step(*samples.batch(slice(BATCH, 2 * BATCH)), (0, 1)))
    named = re.findall(r"^\d+\. `(.+?)`", SECTIONS[name], re.MULTILINE)
    assert sorted(found) == sorted(named) and len(named) <= 11


def test_a_whole_run_enters_few_files(tmp_path):
    """From the command line to the files of the run, Q learning too; docs/one-batch.md tells the number."""
    sizes = ("--num_train=10", "--num_test=10", "--num_val=10", "--batch_size=10", "--size_input=5", "--size_output=5")
    told = [
        "--network_type=DFC-SSA",
        "--dataset=student_teacher",
        "--epochs=1",
        *sizes,
        f"--out_dir={tmp_path}",
        "--threads=1",
    ]
    found = files_of(lambda: main.main(told))
    assert (tmp_path / "DONE").exists()
    assert len(found) == int(re.search(r"enters functions of (\d+) files", PARTS[-1])[1]) <= 34, sorted(found)


@pytest.mark.parametrize(("file", "text"), ITEMS, ids=[file for file, _ in ITEMS])
def test_what_the_page_names_is_there(file, text):
    """Names of functions, Class.method or Class; whatever else stands in backticks has a blank or an operator."""
    tree = ast.parse((ROOT / file).read_text())
    defined = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            defined.add(node.name)
            inner = [each.name for each in node.body if isinstance(each, ast.FunctionDef)]
            inner += [each.target.id for each in node.body if isinstance(each, ast.AnnAssign)]
            defined |= {f"{node.name}.{each}" for each in (inner if isinstance(node, ast.ClassDef) else [])}
    names = re.findall(r"`([\w.]+)`", text)
    assert names and set(names) <= defined
