"""sweeps.listing: how jobs stand, from folders made up for it."""

import dataclasses
import json
import shlex
import sys

import numpy as np
import pytest

from core.options import UsageError
from core.recording import RunFolder
from sweeps.listing import ListOptions, counts, lines_asked_for, listed, report, standing
from sweeps.processes import Job
from tests.runs_for_tests import tree


@pytest.fixture
def job(tmp_path):
    return Job("a", tmp_path / "a b", ["--lr=0.1", "--word=it's"], {"lr": 0.1}, 5)


def begun(job, outcome=None, epochs=0, log=None, lr=0.1):
    job.folder.mkdir()
    (job.folder / "config.json").write_text(json.dumps({"settings": {"lr": lr}, "options": {}}))
    (job.folder / "metrics.csv").write_text(
        "epoch,batch,x\n" + "".join(f"{epoch},0,1\n" for epoch in range(1, epochs + 1))
    )
    if outcome:
        (job.folder / "DONE").write_text(json.dumps(outcome))
    if log is not None:
        (job.folder / "log.txt").write_text(log)


@pytest.mark.parametrize(
    "made, told",
    [
        (None, ("waiting", "waiting")),
        ({}, ("waiting", "waiting")),
        ({"epochs": 3}, ("waiting", "waiting (epoch 3/5)")),
        ({"epochs": 3, "log": "epoch 3/5\nmain.py: note: threads differ\n"}, ("waiting", "waiting (epoch 3/5)")),
        ({"epochs": 3, "log": "main.py: the disk is full\n"}, ("failed", "failed (epoch 3/5): the disk is full")),
        ({"outcome": {"outcome": "finished", "epochs": 5}}, ("finished", "finished")),
        ({"outcome": {"outcome": "finished", "epochs": 4}}, ("waiting", "waiting (epoch 4/5)")),
        ({"outcome": {"outcome": "finished", "epochs": 7}}, ("finished", "finished (epoch 7/5)")),
        ({"outcome": {"outcome": "diverged", "epoch": 2}, "epochs": 1}, ("failed", "failed (diverged in epoch 2)")),
    ],
)
def test_a_folder_tells_how_its_job_stands(job, made, told):
    if made is not None:
        begun(job, **made)
    before = tree(job.folder.parent)
    assert standing(job) == told
    assert tree(job.folder.parent) == before


def test_a_run_that_a_process_is_at_work_on_is_running_and_not_disturbed(job):
    begun(job, epochs=2, log="main.py: an old error\n")
    folder = RunFolder(job.folder, {"lr": 0.1})
    folder.open(load=True)
    assert standing(job) == ("running", "running (epoch 2/5)")
    folder.close()
    assert standing(job)[0] == "failed"


def test_damaged_and_foreign_folders_fail_by_their_sentence(job):
    begun(job, lr=0.2)
    assert standing(job) == ("failed", f"failed ({job.folder} was made with lr = 0.2, not 0.1)")
    (job.folder / "config.json").write_text("{")
    state, text = standing(job)
    assert state == "failed" and "config.json is damaged" in text


def test_a_list_holds_one_quoted_command_for_each_run_that_is_not_over(job, tmp_path):
    others = [
        Job(name, tmp_path / name, ["--threads=3"], {}, 5, "run.py", ("--results_dir=x",))
        for name in ("new", "done", "bad")
    ]
    for other, outcome in zip(
        others[1:], ({"outcome": "finished", "epochs": 5}, {"outcome": "diverged", "epoch": 2}), strict=True
    ):
        begun(other, outcome)
    before = tree(tmp_path)
    lines = listed([job, *others])
    assert tree(tmp_path) == before
    first, second = map(shlex.split, lines)
    assert first[2:] == [
        "--threads=1",
        "--lr=0.1",
        "--word=it's",
        f"--out_dir={job.folder}",
        "--quiet",
        "--load_or_start",
    ]
    assert second[1].endswith("run.py") and second[2:] == [
        "--threads=3",
        "--results_dir=x",
        "--quiet",
        "--load_or_start",
    ]


def test_a_longer_run_is_over_for_run_py_and_refused_where_runs_are_tabulated(job):
    begun(job, {"outcome": "finished", "epochs": 7})
    with pytest.raises(UsageError, match=r"^--epochs=5: .* holds a run of 7 epochs already$"):
        listed([job])
    np.save(job.folder / "0Lweights.npy", 0)
    of_gait = dataclasses.replace(job, program="run.py", layers=1)
    assert listed([of_gait]) == [] and standing(of_gait) == ("finished", "finished (epoch 7/5)")


def test_commands_name_what_is_below_the_current_folder_relative_to_it(job, monkeypatch):
    from sweeps.processes import MAIN

    monkeypatch.chdir(MAIN.parent)
    assert shlex.split(listed([job])[0])[1] == "main.py"
    monkeypatch.chdir(job.folder.parent)
    assert shlex.split(listed([job])[0])[:2] == [sys.executable, str(MAIN)]


def test_the_report_has_one_line_per_job_and_counts(job, tmp_path):
    done = Job("longer", tmp_path / "longer", [], {}, 5)
    begun(done, {"outcome": "finished", "epochs": 5})
    assert report([job, done]) == ["a       waiting", "longer  finished", "finished 1, running 0, waiting 1, failed 0"]
    assert counts([]) == "finished 0, running 0, waiting 0, failed 0"


def test_contradictions_are_refused(job):
    class Options(ListOptions):
        overwrite = True

    with pytest.raises(UsageError, match="--overwrite: contradicts --status"):
        lines_asked_for([job], Options(status=True))
    with pytest.raises(UsageError, match="--list: contradicts --status"):
        lines_asked_for([job], Options(list=True, status=True))
    assert lines_asked_for([job], type("Plain", (ListOptions,), {"overwrite": False})()) is None
