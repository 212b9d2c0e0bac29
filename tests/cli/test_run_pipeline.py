"""run_pipeline.py: whole pipelines of tiny networks, and their table and files on made-up results."""

import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import run_pipeline as script
from core.locks import FolderLock
from dfc.measures.summary import Frame, summarise, write_summary
from sweeps import script as sweep
from sweeps.pipeline_results import read_results
from sweeps.processes import Interrupted
from tests.runs_for_tests import tree

ROOT = Path(__file__).resolve().parents[2]
LATEX = r"$\alpha=0.1$ (a b), \bar"
FIXED = {
    "dataset": "student_teacher", "num_train": 40, "num_test": 20, "num_val": 20, "num_hidden": 1, "size_hidden": 4,
    "batch_size": 10, "epochs": 2, "epochs_fb": 1, "lr": 0.01, "log_interval": 2, "save_df": True,
    "save_BP_angle": True, "save_GNT_angle": True, "alpha_di": 0.1, "random_seed": 7,
}  # fmt: skip
COLLECTION = {"DFA": {"network_type": "DFA", "random_seed": 3}, LATEX: {"ndi": True, "log_interval": 1}}
STATISTICS = ["loss_test_last", "acc_test_last", "no_such", "epoch_best_loss"]
RESULTS = ["loss_test", "bp_angles", "gnt_angles", "gnt_angles_network", "no_such", "log_interval"]
RESULTS_DFA = ["loss_test", "bp_angles", "log_interval"]


def write_module(folder, name, collection, fixed=None, results=RESULTS):
    (folder / f"{name}.py").write_text(
        f"config_fixed = {fixed or FIXED!r}\nconfig_collection = {collection!r}\nresult_keys = {results!r}\n"
        f"result_keys_DFA = {RESULTS_DFA!r}\nstatistics_keys = {STATISTICS!r}\n"
    )


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    """A folder with modules of tiny pipelines."""
    folder = tmp_path_factory.mktemp("modules")
    write_module(folder, "tiny_pipeline", COLLECTION)
    ends = {
        "refused": {"batch_size": 41},
        "diverging": {"network_type": "BP", "lr": 1e6, "epochs": 20},
        "good": {"ndi": True},
    }
    write_module(folder, "tiny_ends", ends, results=["loss_train"])
    return folder


# run_pipeline.py without pictures, which take longer than the runs, and with another main.py
UNDRAWN = """
import sys
sys.path.insert(0, {root!r})
from sweeps import processes as sweeps
import run_pipeline
sweeps.MAIN = sweeps.Path({main!r})
run_pipeline.Pipeline.draw = lambda pipeline: None
sys.exit(run_pipeline.main())
"""


def undrawn(folder, main=ROOT / "main.py"):
    """The file of such a program, in `folder`."""
    path = folder / "undrawn.py"
    path.write_text(UNDRAWN.format(root=str(ROOT), main=str(main)))
    return path


WORDS = ["--config_module=tiny_pipeline", "--threads=1"]


def pipeline(modules, place, *argv, program=ROOT / "run_pipeline.py"):
    # one thread however many runs share the cores: the last digits follow the number of threads of BLAS
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment = {**os.environ, **threads, "PYTHONPATH": str(modules)}
    return subprocess.run(
        [sys.executable, str(program), *argv], cwd=place, env=environment, capture_output=True, text=True, timeout=60
    )


def read(path):
    """{name: {column: text}} of results.csv."""
    with open(path, newline="") as file:
        return {row.pop(""): row for row in csv.DictReader(file)}


def content(folder):
    """{name: bytes} of the results of a pipeline."""
    return {path.name: path.read_bytes() for path in (folder / "results.csv", *(folder / "result_dict").iterdir())}


@pytest.fixture(scope="module")
def whole(modules, tmp_path_factory):
    """(folder, output) of a pipeline that nobody disturbed."""
    place = tmp_path_factory.mktemp("whole")
    done = pipeline(modules, place, *WORDS, "--experiment_name=mine")
    assert (done.returncode, done.stderr) == (0, "")
    [folder] = (place / "logs/pipeline").iterdir()
    return folder, done.stdout


def test_a_new_pipeline_has_a_folder_named_after_the_time(whole):
    folder, out = whole
    assert re.fullmatch(r"mine__\d{4}_\d\d_\d\d__\d\d_\d\d_\d\d", folder.name)
    relative = f"logs/pipeline/{folder.name}"
    assert out.startswith(f"{relative}\n2 experiments of tiny_pipeline\n")
    assert out.splitlines()[-1].startswith(f"2 of 2 experiments finished; results in {relative}")
    assert {"DFA", LATEX, "results.csv", "result_dict", "pipeline.json"} <= {path.name for path in folder.iterdir()}
    for name, seed in (("DFA", 3), (LATEX, 7)):
        assert json.loads((folder / name / "config.json").read_text())["settings"]["random_seed"] == seed
        assert f"{name}: epoch 2/2" in out and "epoch 2/2" in (folder / name / "log.txt").read_text()


def angles(folder, key):
    """The rows of a run's own table of angles, without the steps."""
    with open(folder / f"{key}.csv", newline="") as file:
        return [[float(number) for number in row[1:]] for row in list(csv.reader(file))[1:]]


def mean(numbers):
    numbers = list(numbers)
    return sum(numbers) / len(numbers)


def test_the_table_holds_statistics_of_the_angles(whole):
    folder, _ = whole
    table = read(folder / "results.csv")
    assert list(table) == ["DFA", LATEX]
    assert list(next(iter(table.values())))[:3] == ["loss_test_last", "acc_test_last", "epoch_best_loss"]
    for name, keys in (("DFA", ["bp_angles"]), (LATEX, ["bp_angles", "gnt_angles", "gnt_angles_network"])):
        own = json.loads((folder / name / "results.json").read_text())
        expected = {key: own[key] for key in ("loss_test_last", "acc_test_last", "epoch_best_loss")}
        for key in keys:
            rows = angles(folder / name, key)
            # There are 4 batches per epoch, of which every second or each is logged.
            assert len(rows) == {"DFA": 4, LATEX: 8}[name]
            halves = {f"avg_{key}": rows, f"{key}avgfirsthalf": rows[: len(rows) // 2]}
            halves[f"{key}avgsecondhalf"] = rows[len(rows) // 2 :]
            for column, chosen in halves.items():
                layers = [mean(layer) for layer in zip(*chosen, strict=True)]
                expected |= {column: mean(layers)} | {f"{column}_layer{i}": number for i, number in enumerate(layers)}
            expected |= {f"initial_{key}_layer{i}": number for i, number in enumerate(rows[0])}
        found = {column: float(text) for column, text in table[name].items() if text}
        assert found == pytest.approx(expected, rel=1e-12) and found["loss_test_last"] == expected["loss_test_last"]
    # It was measured, but is not among result_keys_DFA.
    assert table["DFA"]["avg_gnt_angles"] == ""


def test_results_lie_in_files_of_the_published_names(whole):
    folder, _ = whole
    files = {f"{key}_{LATEX}.csv" for key in ("bp_angles", "gnt_angles", "gnt_angles_network")} | {"bp_angles_DFA.csv"}
    files |= {f"{key}_{name}.npy" for key in ("loss_test", "log_interval") for name in ("DFA", LATEX)}
    files |= {"keys.txt", "names.txt", "is_array.npy"}
    assert {path.name for path in (folder / "result_dict").iterdir()} == files
    own = (folder / LATEX / "bp_angles.csv").read_bytes()
    assert (folder / "result_dict" / f"bp_angles_{LATEX}.csv").read_bytes() == own
    results = read_results(folder)
    assert results["loss_test"]["DFA"][-1] == float(read(folder / "results.csv")["DFA"]["loss_test_last"])
    assert isinstance(results["gnt_angles_network"][LATEX], Frame) and results["log_interval"][LATEX] == 1


def test_pictures_are_drawn_at_the_end(whole):
    pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install matplotlib")
    folder, out = whole
    names = ("loss_test", "bp_angles_subplots", "gnt_angles_subplots", "gnt_angles_network_subplots")
    assert {path.name for path in (folder / "figures").iterdir()} == {
        name + end for name in names for end in (".png", ".pdf")
    }
    assert out.splitlines()[-1].endswith(f"figures in logs/pipeline/{folder.name}/figures")


# main.py that, after the first epoch of the run `name`, interrupts the pipeline and waits
# until it is interrupted itself
INTERRUPTING = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
import main
from core.training import Loop
save, came = Loop._save, []
def save_and_interrupt(loop):
    save(loop)
    if loop.folder.path.name == {name!r} and loop.epoch == 1 and not came:
        handler = signal.getsignal(signal.SIGINT)
        signal.signal(signal.SIGINT, lambda *call: (came.append(1), handler(*call)))
        os.kill(os.getppid(), signal.SIGINT)
        deadline = time.monotonic() + 20
        while not came and time.monotonic() < deadline:
            time.sleep(0.005)
Loop._save = save_and_interrupt
sys.exit(main.main())
"""


def test_an_interrupted_pipeline_goes_on_as_it_says(modules, whole, tmp_path):
    (tmp_path / "main.py").write_text(INTERRUPTING.format(root=str(ROOT), name=LATEX))
    argv = [*WORDS, "--experiment_name=a b", "--out_dir=here"]
    stopped = pipeline(modules, tmp_path, *argv, program=undrawn(tmp_path, tmp_path / "main.py"))
    assert stopped.returncode == 130
    folder = next((tmp_path / "here").iterdir())
    told = stopped.stderr.removeprefix(
        "run_pipeline.py: stopped and saved; this command continues: python run_pipeline.py "
    )
    again = shlex.split(told)
    assert again == [*argv, f"--folder=here/{folder.name}"]
    assert list(read(folder / "results.csv")) == ["DFA"] and not (folder / LATEX / "DONE").exists()
    done = pipeline(modules, tmp_path, *again, program=undrawn(tmp_path))
    assert (done.returncode, done.stderr) == (0, "") and "DFA: epoch" not in done.stdout
    epochs = [line.split(": epoch ")[1].split()[0] for line in done.stdout.splitlines() if ": epoch " in line]
    # It went on, and did not start again.
    assert epochs == ["2/2"]
    assert content(folder) == content(whole[0])
    assert [path.name for path in (tmp_path / "here").iterdir()] == [folder.name]


def test_starting_again_tells_which_earlier_runs_it_has_not_reached(modules, whole, tmp_path):
    """The command that continues would be refused because of their settings, or take them for its own."""
    shutil.copytree(whole[0], tmp_path / "x")
    (tmp_path / "main.py").write_text(INTERRUPTING.format(root=str(ROOT), name="DFA"))
    argv = [*WORDS, "--folder=x", "--quiet", "--lr=0.02"]
    stopped = pipeline(modules, tmp_path, *argv, "--overwrite", program=undrawn(tmp_path, tmp_path / "main.py"))
    left = f"x/{LATEX}"
    told = f"delete the earlier runs that --overwrite has not reached, {shlex.quote(left)}, then this command continues"
    again = shlex.join(["python", "run_pipeline.py", *argv])
    assert (stopped.returncode, stopped.stderr) == (130, f"run_pipeline.py: stopped and saved; {told}: {again}\n")
    refused = pipeline(modules, tmp_path, *argv, program=undrawn(tmp_path))
    assert (refused.returncode, refused.stderr) == (2, f"run_pipeline.py: {left} was made with lr = 0.01, not 0.02\n")
    shutil.rmtree(tmp_path / left)
    done = pipeline(modules, tmp_path, *argv, program=undrawn(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")


def test_two_at_a_time_give_the_same_files(modules, whole, tmp_path):
    done = pipeline(modules, tmp_path, *WORDS, "--folder=x y", "--jobs=2", "--quiet", program=undrawn(tmp_path))
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 1)
    assert content(tmp_path / "x y") == content(whole[0])


def test_failing_and_diverging_experiments_do_not_lose_the_others(modules, tmp_path):
    argv = ("--config_module=tiny_ends", "--threads=1", "--folder=x", "--epochs=12", "--jobs=2")
    done = pipeline(modules, tmp_path, *argv, program=undrawn(tmp_path))
    assert done.returncode == 1
    table = read(tmp_path / "x/results.csv")
    assert list(table) == ["refused", "diverging", "good"] and set(table["refused"].values()) == {""}
    assert table["good"]["epoch_best_loss"] != "" and "loss_test_last" in table["diverging"]
    first, second = sorted(done.stderr.splitlines())
    assert first.startswith("run_pipeline.py: note: diverging diverged or was stopped early")
    assert first.endswith("its row holds what it had reached, -1 where nothing")
    assert second.startswith(
        "run_pipeline.py: refused failed, its row holds what it had reached: --batch_size=41: must be in [1"
    )
    assert second.endswith("(see x/refused/log.txt)")
    assert done.stdout.splitlines()[-1].startswith("1 of 3 experiments finished; results in x")


# ---- in this process, on made-up results


@pytest.fixture
def finish(modules, tmp_path, monkeypatch):
    """A function (ends, *argv): the exit status of a pipeline whose runs end so, the last one
    first: None, or an error. `meanwhile`: what another pipeline does before this one has the folder."""
    monkeypatch.syspath_prepend(modules)
    monkeypatch.chdir(tmp_path)

    def call(ends, *argv, draw=False, meanwhile=None):
        def run_all(runs, folder, ended, *how):
            folder.mkdir(parents=True, exist_ok=True)
            if meanwhile:
                meanwhile()
            how[-1]()
            for run, end in reversed(list(zip(runs, ends, strict=True))):
                if isinstance(end, BaseException):
                    raise end
                if isinstance(end, dict):
                    run.folder.mkdir(parents=True, exist_ok=True)
                    write_summary(run.folder, end)
                ended(run, end if isinstance(end, str) else None)

        with monkeypatch.context() as patch:
            patch.setattr(sweep, "run_all", run_all)
            if not draw:
                patch.setattr(script.Pipeline, "draw", lambda pipeline: None)
            return status(*argv)

    return call


def status(*argv):
    try:
        return script.main(list(argv))
    except SystemExit as end:
        return end.code


def summary(finished=1, **more):
    series = {"epoch": [1, 2], "batch": [0, 0], "seconds": [0.1, 0.2]}
    series |= {f"loss_{part}": [2.0, 1.0] for part in ("train", "test", "val")}
    return summarise(series, finished) | {"log_interval": 1} | more


TINY = ("--config_module=tiny_pipeline", "--folder=x")


def test_the_table_is_in_the_order_of_the_collection(finish):
    assert finish([summary(), summary(loss_test_last=0.5)], *TINY) == 0
    table = read("x/results.csv")
    assert list(table) == ["DFA", LATEX] and table[LATEX]["loss_test_last"] == "0.5"
    assert Path("x/result_dict/names.txt").read_text() == f"DFA\n{LATEX}\n"


def test_what_has_ended_is_on_disk_when_the_pipeline_is_stopped(finish, capsys):
    assert finish([Interrupted(signal.SIGTERM), summary()], *TINY, "--quiet") == 143
    assert list(read("x/results.csv")) == [LATEX]
    again = shlex.join(["python", "run_pipeline.py", *TINY, "--quiet"])
    assert capsys.readouterr().err.endswith(f"this command continues: {again}\n")


def test_a_run_that_was_stopped_has_its_own_status(finish, capsys):
    assert finish([summary(finished=-1), summary()], *TINY) == 3
    assert "note: DFA diverged or was stopped early" in capsys.readouterr().err


def test_a_failed_run_keeps_what_it_had_reached(finish, capsys):
    """A run that had been interrupted, and fails now: its summary is still there."""
    assert finish([summary(finished=0), summary()], *TINY) == 3
    flags = json.loads(Path("x/pipeline.json").read_text())["experiments"]["DFA"]
    Path("x/DFA/config.json").write_text(json.dumps({"settings": flags, "options": {}}))
    capsys.readouterr()
    assert finish(["the disk is full", summary()], *TINY, "--overwrite") == 1
    assert read("x/results.csv")["DFA"]["loss_test_last"] == "1.0"
    assert "DFA failed, its row holds what it had reached: the disk is full" in capsys.readouterr().err


def test_a_failed_run_does_not_get_the_numbers_of_other_settings(modules, whole, tmp_path):
    """Another process is at work on the earlier run, so that --overwrite cannot replace it."""
    shutil.copytree(whole[0], tmp_path / "x")
    held = FolderLock(tmp_path / "x" / "DFA")
    held.take()
    before = tree(tmp_path / "x" / "DFA")
    argv = (*WORDS, "--folder=x", "--quiet", "--overwrite", "--lr=0.02")
    done = pipeline(modules, tmp_path, *argv, program=undrawn(tmp_path))
    assert done.returncode == 1 and done.stderr.startswith("run_pipeline.py: DFA failed, its row holds what it had")
    table = read(tmp_path / "x/results.csv")
    assert set(table["DFA"].values()) == {""} and table[LATEX]["loss_test_last"]
    after, log = tree(tmp_path / "x" / "DFA"), tmp_path / "x/DFA/log.txt"
    # The log is that of the process at work; what the other one printed follows.
    (earlier, _), (now, _) = before.pop(log), after.pop(log)
    assert after == before and now.startswith(earlier) and b"in use by another process" in now[len(earlier) :]
    held.close()


def test_a_table_that_cannot_be_written_is_told(finish, capsys):
    Path("x/results.csv").mkdir(parents=True)
    Path("x/pipeline.json").write_text("{}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script.Pipeline, "_check_folder", lambda pipeline: None)
        assert finish([summary(), summary()], *TINY) == 1
    err = capsys.readouterr().err
    assert err.startswith("run_pipeline.py: cannot write x/results.csv") and err.endswith("--folder=x continues\n")


@pytest.mark.parametrize(
    "module, place, files",
    [
        ("tiny_fig3", "figS1", {"gnt_angles_subplots.png", "gnt_angles_subplots.pdf"}),
        (
            "tiny_fig3_dfa",
            "figures",
            {f"{key}{end}" for key in ("loss_test", "gnt_angles_subplots") for end in (".png", ".pdf")},
        ),
    ],
)
def test_pipelines_of_figure_3_get_figure_s1(module, place, files, modules, finish):
    pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install matplotlib")
    write_module(modules, module, {"a": {}})
    frame = Frame([1, 2], [0], np.array([[3.0], [4.0]]))
    assert finish([summary(gnt_angles=frame)], f"--config_module={module}", "--folder=x", "--quiet", draw=True) == 0
    assert {path.name for path in Path("x", place).iterdir()} == files
    assert not Path("x", {"figS1": "figures", "figures": "figS1"}[place]).exists()


def test_without_matplotlib_the_results_are_complete(finish, capsys, monkeypatch):
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    assert finish([summary(), summary()], *TINY, draw=True) == 0
    out, err = capsys.readouterr()
    assert err.startswith("run_pipeline.py: note: no figures: drawing needs matplotlib: pip install matplotlib")
    assert err.endswith("the results are complete, and this draws them: python figures/pipeline.py x\n")
    assert out.splitlines()[-1] == "2 of 2 experiments finished; results in x" and len(read("x/results.csv")) == 2


def test_two_pipelines_of_the_same_second_have_two_folders(finish):
    for _ in range(2):
        finish([summary(), summary()], "--config_module=tiny_pipeline", "--quiet")
    assert len(list(Path("logs/pipeline").iterdir())) == 2


def test_other_settings_do_not_go_on_in_the_same_folder(finish, capsys):
    assert finish([summary(), summary()], *TINY) == 0
    capsys.readouterr()
    hint = "give another --folder, or --overwrite to start again\n"
    for flag, before, now in (("lr", "0.01", "0.2"), ("log_interval", "2", "3"), ("save_GN_angle", "False", "True")):
        word = f"--{flag}" if now == "True" else f"--{flag}={now}"
        assert finish([summary(), summary()], *TINY, word) == 2
        assert capsys.readouterr().err == f"run_pipeline.py: x/DFA was made with {flag} = {before}, not {now}; {hint}"
    assert finish([summary()] * 3, "--config_module=tiny_ends", "--folder=x") == 2
    assert capsys.readouterr().err == f"run_pipeline.py: --folder=x: holds the experiments DFA, {LATEX}; {hint}"
    # This means more epochs, or another speed.
    assert finish([summary(), summary()], *TINY, "--epochs=9", "--jobs=2") == 0


def test_starting_again_leaves_nothing_of_before(finish):
    assert finish([summary(), summary()], *TINY) == 0
    assert finish([Interrupted(signal.SIGTERM), Interrupted(signal.SIGTERM)], *TINY, "--overwrite", "--lr=0.2") == 143
    assert read("x/results.csv") == {} and Path("x/result_dict/names.txt").read_text() == ""
    assert finish([summary(), summary()], *TINY, "--lr=0.2") == 0


def test_a_pipeline_judges_its_folder_when_it_has_it(finish, capsys):
    """Another one may have made it its own while this one waited."""
    assert finish([summary(), summary()], *TINY) == 0
    record = Path("x/pipeline.json")
    other = record.read_text().replace('"lr": "0.01"', '"lr": "0.3"')
    before = content(Path("x"))
    capsys.readouterr()
    assert finish([summary(), summary()], *TINY, meanwhile=lambda: record.write_text(other)) == 2
    hint = "give another --folder, or --overwrite to start again\n"
    assert capsys.readouterr() == ("", f"run_pipeline.py: x/DFA was made with lr = 0.3, not 0.01; {hint}")
    assert record.read_text() == other and content(Path("x")) == before


def test_a_pipeline_that_waits_has_written_nothing(modules, whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "x")
    held = FolderLock(tmp_path / "x")
    held.take()
    before = tree(tmp_path)
    words = [*WORDS, "--folder=x", "--quiet", "--overwrite", "--lr=0.02"]
    argv = [sys.executable, str(ROOT / "run_pipeline.py"), *words]
    environment = {**os.environ, "PYTHONPATH": str(modules)}
    with subprocess.Popen(argv, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert "waiting for another sweep in x" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "interrupted before the first run" in err
    assert tree(tmp_path) == before
    held.close()


# ---- runs that are there already


def test_runs_become_a_pipeline_without_being_trained_again(modules, whole, tmp_path):
    """As those of run_toy_exp_fig3.py do."""
    folder = tmp_path / "adopted"
    for name in COLLECTION:
        shutil.copytree(whole[0] / name, folder / name)
    (folder / ".hidden").write_text("")
    trained = {name: (folder / name / "metrics.csv").stat().st_mtime_ns for name in COLLECTION}
    done = pipeline(modules, tmp_path, *WORDS, "--folder=adopted", program=undrawn(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert {name: (folder / name / "metrics.csv").stat().st_mtime_ns for name in COLLECTION} == trained
    assert content(folder) == content(whole[0])
    assert (folder / "pipeline.json").read_bytes() == (whole[0] / "pipeline.json").read_bytes()


def test_runs_of_other_settings_are_refused_before_the_folder_changes(modules, whole, tmp_path):
    shutil.copytree(whole[0] / "DFA", tmp_path / "adopted" / "DFA")
    done = pipeline(modules, tmp_path, *WORDS, "--folder=adopted", "--lr=0.02", program=undrawn(tmp_path))
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "lr" in done.stderr and "give another --folder, or --overwrite to start again" in done.stderr
    assert [path.name for path in (tmp_path / "adopted").iterdir()] == ["DFA"]


# ---- mistakes, help


@pytest.mark.parametrize(
    "argv, text",
    [
        (["--jobs=0"], "--jobs: 0 is out of range: must be in [1, 64]"),
        (["--experiment_name=a/b"], "--experiment_name=a/b: must be the name of a folder"),
        (["--overwrite"], "--overwrite: needs --folder"),
        (["--config_module=configs.configs_mnist.mnist_ndi"], "there is no such module"),
        (["--config_module=configs.configs_mnist.mnist_bp"], "run_config.py"),
        (["--load"], "--load: runs in --folder are continued anyway"),
        (["--over"], "did you mean --overwrite?"),
        (["--out_d=x"], "--out_dir: must be written in full"),
        (["--epochs=-3"], "--epochs: -3 is out of range"),
        (["--epoch_count=3"], "--epoch_count=3: there is no such option"),
        (["--output_activation=linear"], "run_pipeline.py: DFA: --output_activation=linear: must be softmax"),
        (["--folder=."], "--folder=.: is not the folder of a pipeline"),
    ],
)
def test_a_mistake_is_one_sentence_before_any_run(argv, text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("other").write_text("")
    assert status(*argv) == 2
    out, err = capsys.readouterr()
    assert text in err and err.startswith("run_pipeline.py: ") and err.count("\n") == 1 and out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


@pytest.mark.parametrize("name", ["", "a/b", "..", "figures", "results.csv", "x" * 151, "a\nb"])
def test_a_name_that_is_no_folder_is_refused(name, modules, finish, capsys):
    module = f"names_{name.encode().hex()[:8]}"
    write_module(modules, module, {name: {}})
    assert finish([], f"--config_module={module}", "--folder=x") == 2
    err = capsys.readouterr().err
    assert err.startswith(
        f"run_pipeline.py: {module}.config_collection[{name!r}]: must be the name of a folder other than"
    )
    assert err.count("\n") == 1 and not Path("x").exists()


def test_results_that_would_share_a_file_are_refused(modules, finish, capsys):
    write_module(modules, "names_meet", {"network_x": {}, "x": {}})
    assert finish([], "--config_module=names_meet", "--folder=x") == 2
    assert (
        "its result gnt_angles_network_x would be written to the file of another experiment" in capsys.readouterr().err
    )


def test_help_tells_range_and_default_of_every_option(capsys):
    assert status("--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "default logs/pipeline",
        "default experiment",
        "--folder",
        "[1, 64]; default 1",
        "--overwrite",
        "--quiet",
    ):
        assert words in text
    assert "default configs.pipeline_configs.mnist" in text and "python main.py --help" in text
