"""docs/extending.md: each example works in a copy of the program, and the page names every method of a watcher."""

import json

import numpy as np
import pytest

from core.roles import Watcher
from tests.cli.test_another_data_set import write_files
from tests.extending_for_tests import call, commands, copy_with, files, sections

# The examples that other tests try further: rules/test_own_rule, test_another_data_set,
# test_own_optimiser, test_own_measurement.
RULE = "A learning rule"
# The other examples build on what these leave behind.
FIRST = ("An experiment of system 2", "An image set in IDX form")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A copy of the program with every example of the page at once, after the commands of FIRST."""
    root = copy_with(tmp_path_factory.mktemp("copy") / "program", *sections())
    write_files(root)
    run_commands(root, *FIRST)
    return root


def run_commands(root, *titles):
    for title in titles:
        for words in commands(title):
            call(root, *words)


def column(folder, name):
    header, *rows = (folder / "metrics.csv").read_text().splitlines()
    return [float(row.split(",")[header.split(",").index(name)]) for row in rows]


def outcome(folder):
    return json.loads((folder / "DONE").read_text())


def of_experiment(root):
    assert outcome(root / "logs" / "own")["epochs"] == 2


def of_images(root):
    (folder,) = (root / "results").glob("MARKS_*[0-9]L")
    assert outcome(folder)["epochs"] == 1


def of_optimiser(root):
    assert outcome(root / "logs" / "signs")["outcome"] == "finished"
    config = json.loads((root / "logs" / "signs" / "config.json").read_text())
    assert (config["settings"]["optimizer"], config["settings"]["optimizer_fb"]) == ("Signs", "Signs")


def of_q_rule(root):
    """SGD halves Q in each of the 3 batches of every pass that learns it (docs/published/dfc.md D)."""
    found = []
    for rate in ("1e-9", "0.5"):
        words = commands("A rule for the learning of Q")[0]
        call(root, *words[:-1], f"--lr_fb={rate}", "--feedback_wd=0", f"--out_dir=logs/q{rate}")
        found.append(np.linalg.norm(np.load(root / "logs" / f"q{rate}" / "0Lfeedback.npy")))
    # There is one before the first epoch, and one in each of the two.
    passes = np.log2(found[0] / found[1]) / 3
    assert passes == pytest.approx(3, abs=1e-6)


def of_activation(root):
    config = json.loads((root / "logs" / "sine" / "config.json").read_text())
    assert config["settings"]["hidden_activation"] == "sine"
    weights = [np.load(root / "logs" / name / "0Lweights.npy") for name in ("sine", "own")]
    assert not np.array_equal(*weights)


def of_flag(root):
    told = outcome(root / "logs" / "early")
    assert (told["outcome"], told["reason"]) == ("stopped", "the training loss is below 1e+06")
    (words,) = commands("A flag of `main.py`")
    with pytest.raises(AssertionError, match="stop_at_loss"):
        call(root, *words, "--stop_at_loss=0", "--load")


def of_measurement(root):
    assert len((root / "logs" / "sizes" / "sizes_angles.csv").read_text().splitlines()) == 1 + 2 * 3


def of_watcher(root):
    """The error of the first batch is another one after an epoch of learning, and is never zero."""
    first, second = column(root / "logs" / "first", "first_error")
    assert first > 0 < second != first
    check_interrupted(root, *commands("Anything else that accompanies a run")[0])


# Two batches after the beginning of an epoch a signal stops the run.
INTERRUPTED = """
import os, signal, sys
import run_config
from dfc.learners import ForwardLearner

step, steps = ForwardLearner.step, []

def stepping(*batch):
    step(*batch)
    steps.append(batch)
    if len(steps) == 2:
        os.kill(os.getpid(), signal.SIGTERM)

ForwardLearner.step = stepping
sys.exit(run_config.main(sys.argv[1:]) != 128 + signal.SIGTERM)
"""


def check_interrupted(root, script, *words):
    """Asserts that a run which a signal stopped after its first batch ends with the column of a whole run."""
    place = "--out_dir=logs/interrupted"
    call(root, "-c", INTERRUPTED, *words, place)
    call(root, script, *words, place, "--load")
    assert column(root / "logs" / "interrupted", "first_error") == column(root / "logs" / "first", "first_error")


def of_option_of_run(root):
    """An epoch of one batch is not an epoch of all batches."""
    (folder,) = (root / "results").glob("MARKS_*_1batches")
    (whole,) = (root / "results").glob("MARKS_*[0-9]L")
    assert not np.array_equal(np.load(folder / "0Lweights.npy"), np.load(whole / "0Lweights.npy"))


def of_figure(root):
    assert (root / "logs" / "losses.png").read_bytes().startswith(b"\x89PNG")


# {section: (what its example does to the program, the files that it touches)}
TRIED = {
    "An experiment of system 2": (of_experiment, 1),
    "An image set in IDX form": (of_images, 1),
    "An optimiser of both programs": (of_optimiser, 1),
    "A rule for the learning of Q": (of_q_rule, 1),
    "An activation function of `main.py`": (of_activation, 1),
    "A flag of `main.py`": (of_flag, 4),
    "A measurement of `main.py`": (of_measurement, 3),
    "Anything else that accompanies a run": (of_watcher, 2),
    "An option of `run.py`": (of_option_of_run, 2),
    "A figure of run folders": (of_figure, 1),
}


@pytest.mark.parametrize("title", TRIED)
def test_the_example_works(title, program):
    if title == "A figure of run folders":
        pytest.importorskip("matplotlib", reason="figures need matplotlib: pip install matplotlib")
    if title not in FIRST:
        run_commands(program, title)
    check, _ = TRIED[title]
    check(program)


def test_every_example_is_tried_and_every_point_of_extension_has_one():
    assert set(sections()) == {RULE, *TRIED}


def test_a_change_touches_few_files():
    """The files of Python that each example adds or changes; the four files of an image set are data."""
    assert {title: len(files(title)) for title in TRIED} == {title: count for title, (_, count) in TRIED.items()}


def test_the_page_names_every_method_of_a_watcher():
    text = sections()["Anything else that accompanies a run"]
    assert [name for name in vars(Watcher) if not name.startswith("_") and f"`{name}`" not in text] == []
