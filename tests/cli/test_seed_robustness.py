"""run_seed_robustness.py: whole sweeps of tiny networks, and the table on numbers worked out by hand."""

import contextlib
import csv
import io
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import main
import run_seed_robustness as script
from configs import load, to_argv
from dfc.measures.summary import summarise, write_summary
from sweeps import script as sweeping
from sweeps.processes import Interrupted

ROOT = Path(__file__).resolve().parents[2]
CLASSIFICATION = [
    "seed", "acc_test_val_best", "acc_test_last", "acc_train_val_best", "acc_val_best", "acc_test_best",
    "acc_train_last", "acc_train_best", "acc_val_last", "loss_test_val_best", "loss_train_val_best",
    "loss_val_best", "loss_test_best", "loss_train_last", "loss_train_best", "epoch_best_loss", "epoch_best_acc",
]  # fmt: skip
REGRESSION = [
    "seed", "loss_test_val_best", "loss_train_val_best", "loss_val_best",
    "loss_test_best", "loss_train_last", "loss_train_best", "epoch_best_loss",
]  # fmt: skip
TINY = {
    "dataset": "student_teacher", "network_type": "BP", "num_train": 40, "num_test": 20, "num_val": 20, "num_hidden": 1,
    "size_hidden": 4, "batch_size": 20, "epochs": 2, "lr": 0.01,
}  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A folder with the module `tiny_experiment`, whose config is TINY."""
    folder = tmp_path_factory.mktemp("experiments")
    (folder / "tiny_experiment.py").write_text(f"config = {TINY!r}\n")
    return folder


WORDS = ["--config_module=tiny_experiment", "--regression", "--threads=1"]


def sweep(tiny, place, *argv):
    """A sweep in this process, whose runs are processes of their own; returns its status and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.chdir(place)
        patch.syspath_prepend(tiny)
        patch.setenv("PYTHONPATH", str(tiny))
        returncode = status(*WORDS, *argv)
    return SimpleNamespace(returncode=returncode, stdout=out.getvalue(), stderr=err.getvalue())


# run_seed_robustness.py, and a main.py that waits for the signal HOLD[1] after the second epoch in the folder HOLD[0]
HELD = """
import sys
sys.path.insert(0, {root!r})
from sweeps import processes as sweeps
import run_seed_robustness
sweeps.MAIN = sweeps.Path({main!r})
sys.exit(run_seed_robustness.main())
"""
HOLDING = """
import os, signal, sys, time
sys.path.insert(0, {root!r})
import main
from core.training import Loop
folder, awaited = os.environ["HOLD"].split()
save, came = Loop._save, []
def save_and_hold(loop):
    save(loop)
    if loop.folder.path.name == folder and loop.epoch == 2 and not came:
        number = getattr(signal, awaited)
        handler = signal.getsignal(number)
        signal.signal(number, lambda *call: (came.append(number), handler(*call)))
        (loop.folder.path / "held").touch()
        deadline = time.monotonic() + 20
        while not came and time.monotonic() < deadline:
            time.sleep(0.005)
Loop._save = save_and_hold
sys.exit(main.main())
"""


@contextlib.contextmanager
def held_sweep(name, awaited, tiny, place, *argv):
    """The process of a sweep whose run `name` has done two epochs and waits."""
    for file, text in (("sweep.py", HELD), ("main.py", HOLDING)):
        (tiny / file).write_text(text.format(root=str(ROOT), main=str(tiny / "main.py")))
    environment = {**os.environ, "PYTHONPATH": str(tiny), "HOLD": f"{name} {awaited}"}
    words = [sys.executable, str(tiny / "sweep.py"), *WORDS, *argv]
    # a group of its own, which is what a terminal sends its Ctrl-C to
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(words, cwd=place, env=environment, **settings) as process:
        try:
            deadline = time.monotonic() + 30
            while not list(place.rglob("held")):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.01)
            yield process
        finally:
            process.kill()


def read(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def summary(folder):
    return json.loads((folder / "results.json").read_text())


TWO = ("--nb_seeds=2", "--epochs=4", "--lr=0.001")


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    """(place, output) of a sweep of two seeds that nobody disturbed."""
    place = tmp_path_factory.mktemp("whole")
    done = sweep(tiny, place, *TWO)
    assert (done.returncode, done.stderr) == (0, "")
    return place / "logs/seed_robustness", done.stdout


# This is the published command of Strong-DFC on tiny data.
STRONG = (
    "--config_module=configs.strong_dfc.mnist_strong_dfc", "--dataset=student_teacher", "--output_activation=linear",
    "--size_input=6", "--size_hidden=[7, 5]", "--size_output=3", "--num_train=24", "--num_test=12", "--num_val=10",
    "--batch_size=8", "--epochs=2", "--tmax_di=20", "--tmax_di_fb=20",
)  # fmt: skip


def test_seeds_of_strong_dfc_are_the_runs_of_main(tiny, tmp_path):
    done = sweep(tiny, tmp_path, *STRONG, "--nb_seeds=2")
    assert (done.returncode, done.stderr) == (0, "")
    _, *rows = read(tmp_path / "logs/seed_robustness/default.csv")
    config = to_argv(load(STRONG[0].partition("=")[2]))
    for row, seed in zip(rows, script.draw_seeds(2, 0), strict=False):
        alone = tmp_path / f"alone {seed}"
        own = (f"--random_seed={seed}", f"--out_dir={alone}", "--threads=1", "--quiet")
        assert main.main([*config, *STRONG[1:], *own]) == 0
        assert json.loads((alone / "config.json").read_text())["settings"]["network_type"] == "Strong-DFC"
        assert row[1:-1] == [repr(value) for value in (seed, *(summary(alone)[column] for column in REGRESSION[1:]))]
    assert rows[0][2] != rows[1][2] and [row[-1] for row in rows] == ["finished", "finished", "", ""]


def test_each_seed_has_a_folder_and_a_row_with_all_digits(whole):
    folder, out = whole
    seeds = script.draw_seeds(2, 0)
    header, *rows = read(folder / "default.csv")
    assert header == ["", *REGRESSION, "outcome"]
    assert [row[0] for row in rows] == ["0", "1", "mean", "std"]
    for row, seed in zip(rows, seeds, strict=False):
        own = folder / "default" / f"seed_{seed}"
        assert json.loads((own / "config.json").read_text())["settings"]["random_seed"] == seed
        assert row[1:-1] == [repr(value) for value in (seed, *(summary(own)[column] for column in REGRESSION[1:]))]
        assert f"seed_{seed}: epoch 4/4" in out and "epoch 4/4" in (own / "log.txt").read_text()
    for first, second, mean, std in zip(*(map(float, row[1:-1]) for row in rows), strict=True):
        assert mean == pytest.approx((first + second) / 2, rel=1e-14)
        # This is the sample deviation of two numbers.
        assert std == pytest.approx(abs(first - second) / 2**0.5, rel=1e-12)
    assert rows[0][2] != rows[1][2] and [row[-1] for row in rows] == ["finished", "finished", "", ""]


def test_the_end_tells_mean_and_deviation(whole):
    folder, out = whole
    *_, mean, std = (dict(zip(REGRESSION, row[1:-1], strict=True)) for row in read(folder / "default.csv")[1:])
    *_, count, _, test, train = out.splitlines()
    assert count == "2 of 2 seeds finished; table: logs/seed_robustness/default.csv"
    for line, name in ((test, "test"), (train, "train")):
        numbers = (f"{float(row[f'loss_{name}_val_best']):.5g}" for row in (mean, std))
        assert line.split() == [name, "loss", next(numbers), "+-", next(numbers)]


def test_two_jobs_give_the_same_bytes(tiny, whole, tmp_path):
    done = sweep(tiny, tmp_path, *TWO, "--jobs=2", "--quiet", "--out_dir=here", "--name=both.csv")
    assert (done.returncode, done.stderr) == (0, "") and "epoch" not in done.stdout.splitlines()[0]
    assert (tmp_path / "here/both.csv").read_bytes() == (whole[0] / "default.csv").read_bytes()
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["both", "both.csv"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the runs of a killed sweep go on to their end")
def test_a_killed_sweep_goes_on_with_the_same_command(tiny, whole, tmp_path):
    first, second = (f"seed_{seed}" for seed in script.draw_seeds(2, 0))
    with held_sweep(second, "SIGTERM", tiny, tmp_path, *TWO) as process:
        process.kill()
    folder = tmp_path / "logs/seed_robustness"
    assert len(read(folder / "default.csv")) == 4 and not (folder / "default" / second / "DONE").exists()
    done = sweep(tiny, tmp_path, *TWO)
    assert done.returncode == 0 and first not in done.stdout
    epochs = [line.split()[2] for line in done.stdout.splitlines() if line.startswith(f"{second}: epoch")]
    # It went on, and did not start again.
    assert epochs == ["3/4", "4/4"]
    assert (folder / "default.csv").read_bytes() == (whole[0] / "default.csv").read_bytes()


def test_ctrl_c_saves_and_tells_how_to_go_on(tiny, tmp_path):
    first = f"seed_{script.draw_seeds(1, 0)[0]}"
    with held_sweep(first, "SIGINT", tiny, tmp_path, *TWO, "--overwrite", "--name=a b") as process:
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    again = "python run_seed_robustness.py " + " ".join([*WORDS, *TWO])
    assert err == f"run_seed_robustness.py: stopped and saved; this command continues: {again} '--name=a b'\n"
    assert "saved in" in out.splitlines()[-1]
    assert [path.parent.name for path in tmp_path.glob("logs/seed_robustness/a b/*/config.json")] == [first]


# ---- the table on made-up results, in this process


@pytest.fixture
def finish(tiny, tmp_path, monkeypatch):
    """A function (series of each run or an error, *argv): the exit status of a sweep whose runs end so."""
    monkeypatch.syspath_prepend(tiny)
    monkeypatch.chdir(tmp_path)

    def call(ends, *argv):
        def run_all(runs, folder, ended, *how):
            for run, end in zip(runs, ends, strict=True):
                if isinstance(end, BaseException):
                    raise end
                if isinstance(end, dict):
                    run.folder.mkdir(parents=True)
                    finished = end.pop("finished", 1)
                    write_summary(run.folder, summarise(end, finished))
                ended(run, end if isinstance(end, str) else None)

        monkeypatch.setattr(sweeping, "run_all", run_all)
        return status(f"--nb_seeds={len(ends)}", *argv)

    return call


def status(*argv):
    try:
        return script.main(list(argv))
    except SystemExit as end:
        return end.code


def series(*accuracies, **more):
    """Two epochs of a classification, the second with the better validation accuracy but the worse loss."""
    rows = {"epoch": [1, 2], "batch": [0, 0], "seconds": [0.1, 0.2], "acc_val": [0.5, 0.6], "acc_train": [0.75, 1.0]}
    rows |= {"acc_test": list(accuracies), "loss_val": [1.0, 2.0], "loss_test": [1.5, 2.5], "loss_train": [0.5, 0.25]}
    return rows | more


IMAGES = "--config_module=configs.configs_mnist.mnist_bp"


def test_classification_table_by_hand(finish, capsys):
    assert finish([series(0.9, 0.8), series(0.9, 0.86), series(0.9, 0.89)], IMAGES) == 0
    header, *rows = read("logs/seed_robustness/default.csv")
    assert header == ["", *CLASSIFICATION, "outcome"]
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    assert columns[""] == ("0", "1", "2", "mean", "std")
    assert columns["seed"][:3] == tuple(map(str, script.draw_seeds(3, 0)))
    assert float(columns["seed"][4]) == pytest.approx(statistics.stdev(script.draw_seeds(3, 0)), rel=1e-12)
    # 0.80, 0.86, 0.89: mean 0.85, squared differences 0.0025 + 0.0001 + 0.0016 over 2
    for name in ("acc_test_val_best", "acc_test_last"):
        assert columns[name][:3] == ("0.8", "0.86", "0.89")
        assert [float(value) for value in columns[name][3:]] == pytest.approx([0.85, 0.0021**0.5], rel=1e-12)
    same = {
        "acc_train_val_best": 1.0,
        "acc_val_best": 0.6,
        "acc_test_best": 0.9,
        "loss_test_val_best": 1.5,
        "loss_val_best": 1.0,
    }
    same |= {"loss_train_val_best": 0.5, "loss_train_best": 0.25, "epoch_best_loss": 0, "epoch_best_acc": 1}
    for name in same.keys() - {"acc_test_best"}:
        assert columns[name][:3] == (repr(same[name]),) * 3
        assert [float(value) for value in columns[name][3:]] == pytest.approx([same[name], 0], abs=1e-15)
    assert columns["acc_test_best"][0] == "0.9"
    out = capsys.readouterr().out.splitlines()
    assert [line.split() for line in out[-2:]] == [
        ["test", "accuracy", "%", "85.00", "+-", "4.58"],
        ["test", "error", "%", "15.00", "+-", "4.58"],
    ]


def test_one_seed_has_no_deviation(finish, capsys):
    assert finish([series(0.5, 0.75)], IMAGES, "--regression") == 0
    header, row, mean, std = read("logs/seed_robustness/default.csv")
    assert header == ["", *REGRESSION, "outcome"] and float(mean[2]) == float(row[2]) == 1.5
    assert std == ["std", *["nan"] * len(REGRESSION), ""]
    assert capsys.readouterr().out.splitlines()[-1].split() == ["train", "loss", "0.5", "+-", "-"]


def test_a_run_without_validation_is_reported_at_its_end(finish, capsys):
    without = {name: values for name, values in series(0.5, 0.75).items() if "val" not in name}
    assert finish([without], IMAGES, "--no_val_set") == 0
    assert read("logs/seed_robustness/default.csv")[1][2:4] == ["-1", "0.75"]
    out = capsys.readouterr().out
    assert "last epoch" in out and "75.00" in out


def test_a_seed_that_did_not_finish_keeps_its_row_and_is_told(finish, capsys):
    unstarted = {"epoch": [], "finished": -1}
    assert finish([series(0.9, 0.8), unstarted, series(0.9, 0.82)], IMAGES) == 3
    rows = read("logs/seed_robustness/default.csv")[1:]
    assert rows[1][2:] == [*["-1"] * len(CLASSIFICATION[1:]), "stopped"]
    assert [row[-1] for row in rows] == ["finished", "stopped", "finished", "", ""]
    # Only those that finished count, as in what is printed.
    assert float(rows[3][2]) == pytest.approx((0.8 + 0.82) / 2, rel=1e-12)
    assert float(rows[4][2]) == pytest.approx(0.02 / 2**0.5, rel=1e-12)
    out, err = capsys.readouterr()
    assert f"note: seed_{script.draw_seeds(2, 0)[1]} diverged or was stopped early" in err
    # Only those that finished count.
    assert "2 of 3 seeds finished" in out and "81.00" in out


def test_a_failed_seed_is_left_out_and_named(finish, capsys):
    assert finish([series(0.9, 0.8), "the disk is full", series(0.9, 0.82)], IMAGES) == 1
    first, failed, last = script.draw_seeds(3, 0)
    rows = read("logs/seed_robustness/default.csv")[1:]
    assert [row[:2] for row in rows[:2]] == [["0", str(first)], ["1", str(last)]] and len(rows) == 4
    out, err = capsys.readouterr()
    log = f"logs/seed_robustness/default/seed_{failed}/log.txt"
    assert err == f"run_seed_robustness.py: seed_{failed} failed and is left out: the disk is full (see {log})\n"
    assert "2 of 3 seeds finished" in out


def test_no_seed_at_all_leaves_no_table(finish, capsys):
    assert finish(["the disk is full"] * 2, IMAGES) == 1
    assert (
        capsys.readouterr().out == "0 of 2 seeds finished\n" and not Path("logs/seed_robustness/default.csv").exists()
    )


def test_the_table_is_complete_after_every_seed(finish):
    assert finish([series(0.9, 0.8), series(0.9, 0.82), Interrupted(signal.SIGTERM)], IMAGES) == 143
    assert [row[0] for row in read("logs/seed_robustness/default.csv")] == ["", "0", "1", "mean", "std"]


def test_a_table_that_cannot_be_written_is_told(finish, capsys):
    Path("logs/seed_robustness").mkdir(parents=True)
    Path("logs/seed_robustness/default.csv").symlink_to("nowhere/default.csv")
    assert finish([series(0.9, 0.8)], IMAGES) == 1
    assert "cannot write logs/seed_robustness/default.csv" in capsys.readouterr().err


def test_losses_without_the_flag_are_noted(finish, capsys):
    losses = {name: values for name, values in series(0, 0).items() if "acc" not in name}
    assert finish([losses], "--config_module=tiny_experiment") == 0
    out, err = capsys.readouterr()
    assert "--regression" in err and "test loss" in out and "accuracy" not in out
    assert read("logs/seed_robustness/default.csv")[1][2] == "-1"


def test_diverged_runs_and_other_settings_of_real_runs(tiny, tmp_path):
    done = sweep(tiny, tmp_path, "--nb_seeds=1", "--lr=1e6", "--epochs=20")
    assert done.returncode == 3 and "diverged" in done.stderr
    _, row, mean, std = read(tmp_path / "logs/seed_robustness/default.csv")
    assert row[-1] == "diverged" and set(mean[1:-1]) == set(std[1:-1]) == {"nan"}
    other = sweep(tiny, tmp_path, "--nb_seeds=1", "--lr=0.01", "--epochs=20")
    own = f"logs/seed_robustness/default/seed_{script.draw_seeds(1, 0)[0]}"
    assert other.returncode == 2 and other.stderr.count("\n") == 1
    assert f"{own} was made with lr = 1e6, not 0.01" in other.stderr


# ---- seeds, mistakes, help


def test_seeds_are_distinct_reproducible_and_more_of_them_go_on():
    seeds = script.draw_seeds(200, 0)
    assert len(set(seeds)) == 200 and all(0 <= seed < 10000 and type(seed) is int for seed in seeds)
    assert all(script.draw_seeds(count, 0) == seeds[:count] for count in (1, 5, 199))
    assert script.draw_seeds(5, 1) != seeds[:5]
    assert sorted(script.draw_seeds(10000, 3)) == list(range(10000))


@pytest.mark.parametrize(
    "argv, text",
    [
        (["--nb_seeds=0"], "--nb_seeds: 0 is out of range: must be in [1, 10000]"),
        (["--nb_seeds=10001"], "--nb_seeds: 10001 is out of range"),
        (["--base_seed=-1"], "--base_seed: -1 is out of range"),
        (["--jobs=0"], "--jobs: 0 is out of range"),
        (["--name=a/b"], "--name=a/b: must be"),
        (["--name=.csv"], "--name=.csv: must be"),
        (["--config_module=configs.configs_mnist.mnist_ndi"], "there is no such module"),
        (["--config_module=configs.pipeline_configs.mnist"], "run_pipeline.py"),
        (["--random_seed=3"], "--random_seed: the seeds are drawn"),
        (["--random=3"], "--random_seed: the seeds are drawn"),
        (["--load"], "--load: interrupted runs are continued anyway"),
        (["--over"], "did you mean --overwrite?"),
        (["--out_d=x"], "--out_dir: must be written in full"),
        (["--epochs=-3"], "--epochs: -3 is out of range"),
        (["--epoch_count=3"], "--epoch_count=3: there is no such option"),
        (["--output_activation=linear"], "--output_activation=linear: must be softmax"),
    ],
)
def test_a_mistake_is_one_sentence_before_any_run(argv, text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert status(*argv) == 2
    out, err = capsys.readouterr()
    assert text in err and err.startswith("run_seed_robustness.py: ") and err.count("\n") == 1 and out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_gpu_run_is_given_one_thread():
    """main.py refuses more of them with --backend=cupy."""
    run, _ = script.job_and_settings("a", "a", dict(TINY), ["--backend=cupy", "--lr=0.2"], "x")
    assert run.argv[-1] == "--threads=1" and run.settings["lr"] == "0.2"


def test_help_tells_range_and_default_of_every_option(capsys):
    assert status("--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "--out_dir",
        "logs/seed_robustness/",
        "[1, 10000]; default 5",
        "default default",
        "--regression",
        "--jobs",
    ):
        assert words in text
    assert "configs.configs_mnist.mnist_dfc_ssa" in text and "python main.py --help" in text


# ---- several seeds in a process


def files_of(folder):
    """{path: bytes} of the results of a sweep: weights, series and flags of its runs; times left out."""
    kept = {
        path.relative_to(folder): path.read_bytes()
        for name in ("*.npy", "args.txt")
        for path in folder.glob(f"*/{name}")
    }
    return kept | {path.relative_to(folder): untimed(path) for path in folder.glob("*/metrics.csv")}


def untimed(path):
    return [line.rpartition(",")[0] for line in path.read_text().splitlines()]


@pytest.mark.parametrize("words", [["--together"], ["--together=2", "--jobs=2"], ["--together", "--jobs=2"]])
def test_seeds_that_train_together_leave_what_they_leave_alone(words, tiny, whole, tmp_path):
    done = sweep(tiny, tmp_path, *TWO, *words)
    assert (done.returncode, done.stderr) == (0, "")
    folder = tmp_path / "logs/seed_robustness"
    assert (folder / "default.csv").read_bytes() == (whole[0] / "default.csv").read_bytes()
    assert files_of(folder / "default") == files_of(whole[0] / "default")
    for seed in script.draw_seeds(2, 0):
        own = folder / "default" / f"seed_{seed}"
        assert f"seed_{seed}: epoch 4/4" in done.stdout and "epoch 4/4" in (own / "log.txt").read_text()
        assert {path.name for path in own.iterdir()} == {
            path.name for path in (whole[0] / "default" / own.name).iterdir()
        }
    again = sweep(tiny, tmp_path, *TWO, *words)
    assert again.returncode == 0 and "epoch" not in again.stdout.splitlines()[0]


def test_the_list_has_one_command_for_seeds_that_train_together(tiny, tmp_path):
    first, second, third = script.draw_seeds(3, 0)
    lines = sweep(tiny, tmp_path, "--nb_seeds=3", "--together=2", "--list").stdout.splitlines()
    assert f"--seeds={first},{second}" in lines[0] and lines[0].count("--out_dir=logs/seed_robustness/default ") == 1
    assert f"--random_seed={third}" in lines[1] and f"--out_dir=logs/seed_robustness/default/seed_{third}" in lines[1]
    assert len(lines) == 2 and not (tmp_path / "logs").exists()
    done = subprocess.run(lines[0], shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    states = sweep(tiny, tmp_path, "--nb_seeds=3", "--together=2", "--status").stdout.splitlines()
    assert [line.split()[1] for line in states[:3]] == ["finished", "finished", "waiting"]
    (line,) = sweep(tiny, tmp_path, "--nb_seeds=3", "--together=2", "--list").stdout.splitlines()
    assert f"--random_seed={third}" in line


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the runs of a killed sweep go on to their end")
def test_a_killed_process_of_several_seeds_goes_on_alone(tiny, whole, tmp_path):
    with held_sweep(f"seed_{script.draw_seeds(2, 0)[1]}", "SIGTERM", tiny, tmp_path, *TWO, "--together") as process:
        process.kill()
    folder = tmp_path / "logs/seed_robustness"
    assert not list(folder.glob("default/*/DONE"))
    done = sweep(tiny, tmp_path, *TWO)
    assert done.returncode == 0
    assert (folder / "default.csv").read_bytes() == (whole[0] / "default.csv").read_bytes()
    assert files_of(folder / "default") == files_of(whole[0] / "default")


def test_seeds_that_diverge_together_are_marked_as_alone(tiny, tmp_path):
    tables = []
    for name, words in (("alone", []), ("together", ["--together"])):
        done = sweep(tiny, tmp_path, "--nb_seeds=2", "--lr=1e6", f"--name={name}", *words)
        assert done.returncode == 3 and done.stderr.count("diverged or was stopped early") == 2
        tables.append(read(tmp_path / f"logs/seed_robustness/{name}.csv"))
    assert tables[0] == tables[1] and [row[-1] for row in tables[0][1:3]] == ["diverged"] * 2


@pytest.mark.parametrize("words", [[], ["--together"]])
def test_a_seed_that_has_begun_more_epochs_is_not_averaged(words, tiny, tmp_path):
    first, second = script.draw_seeds(2, 0)
    assert sweep(tiny, tmp_path, "--nb_seeds=1", "--epochs=2").returncode == 0
    folder = tmp_path / "logs/seed_robustness/default"
    (folder / f"seed_{first}/DONE").unlink()
    done = sweep(tiny, tmp_path, "--nb_seeds=2", "--epochs=1", *words)
    assert done.returncode == 1 and "1 of 2 seeds finished" in done.stdout
    (line,) = done.stderr.splitlines()
    assert f"seed_{first} failed and is left out: --epochs=1: " in line and "has begun epoch 2 already" in line
    assert [row[1] for row in read(folder.with_suffix(".csv"))[1:-2]] == [str(second)]


def test_a_damaged_seed_fails_alone(tiny, tmp_path):
    first, second, third = script.draw_seeds(3, 0)
    assert sweep(tiny, tmp_path, "--nb_seeds=2", "--together", "--epochs=1").returncode == 0
    folder = tmp_path / "logs/seed_robustness/default"
    (folder / f"seed_{first}/checkpoint.npz").write_bytes(b"rubbish")
    (folder / f"seed_{first}/DONE").unlink()
    done = sweep(tiny, tmp_path, "--nb_seeds=3", "--together", "--epochs=2")
    assert done.returncode == 1 and "2 of 3 seeds finished" in done.stdout
    (line,) = done.stderr.splitlines()
    assert f"seed_{first} failed and is left out: " in line and f"seed_{first}/checkpoint.npz is damaged" in line
    assert [row[1] for row in read(folder.with_suffix(".csv"))[1:3]] == [str(second), str(third)]
    states = sweep(tiny, tmp_path, "--nb_seeds=3", "--together", "--epochs=2", "--status").stdout.splitlines()
    assert [line.split()[1] for line in states[:3]] == ["failed", "finished", "finished"]


def test_what_keeps_a_process_from_starting_is_told_of_each_seed(tiny, tmp_path):
    done = sweep(tiny, tmp_path, "--nb_seeds=2", "--together", "--batch_size=41")
    assert done.returncode == 1
    assert done.stderr.count("failed and is left out: --batch_size=41: must be in [1, 40]") == 2
