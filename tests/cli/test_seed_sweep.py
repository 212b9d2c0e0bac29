"""sweep_seeds.sh, most of it with a stand-in for run.py, and summarise_seeds.py on numbers worked out by hand."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import summarise_seeds
from core.seeds import MOST

ROOT = Path(__file__).resolve().parents[2]
SWEEP = str(ROOT / "sweep_seeds.sh")
needs_bash = pytest.mark.skipif(not shutil.which("bash"), reason="sweep_seeds.sh needs bash")

# Remembers a run of each seed as a file; seed 2 diverges, seed 8 is a damaged file, seed 9
# takes until it is interrupted.
STAND_IN = r"""#!/usr/bin/env bash
shift
printf '<%s>' "$@" >>calls; echo >>calls
seed=$(printf '%s\n' "$@" | sed -n 's/^--seed=//p')
touch "run$seed"
case $seed in
  2) echo "run.py: diverged in epoch 1" >&2; exit 3 ;;
  8) echo "run.py: checkpoint is damaged" >&2; exit 2 ;;
  9) trap 'echo saved; exit 130' INT; sleep 30 >/dev/null 2>&1 & echo training; wait ;;
esac
"""


@pytest.fixture
def stand_in(tmp_path):
    program = tmp_path / "python"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    return {**os.environ, "PYTHON": str(program)}


def sweep(folder, environment, *arguments):
    return subprocess.run([SWEEP, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def calls(folder):
    lines = (folder / "calls").read_text().splitlines()
    (folder / "calls").unlink()
    return lines


@needs_bash
def test_each_seed_is_started_and_later_continued_with_the_same_options(tmp_path, stand_in):
    done = sweep(tmp_path, stand_in, "1 3-4", "--algorithm=GAIT", "--results_dir=my results")
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 of 3 seeds finished" in done.stdout
    options = "<--algorithm=GAIT><--results_dir=my results>"
    assert calls(tmp_path) == [f"{options}<--seed={seed}><--load_or_start>" for seed in (1, 3, 4)]
    assert sweep(tmp_path, stand_in, "3-5", "--algorithm=GAIT", "--results_dir=my results").returncode == 0
    assert calls(tmp_path) == [f"{options}<--seed={seed}><--load_or_start>" for seed in (3, 4, 5)]


@needs_bash
def test_a_failed_seed_does_not_stop_the_others_and_is_reported(tmp_path, stand_in):
    # Failed runs are no news the second time, and are told all the same.
    for _ in range(2):
        done = sweep(tmp_path, stand_in, "1 2 8 3")
        assert done.returncode == 1
        assert "2 of 4 seeds finished" in done.stdout
        assert "failed: seed 2 (exit status 3)" in done.stderr and "failed: seed 8 (exit status 2)" in done.stderr
        assert done.stderr.count("run.py: diverged") == 1 and done.stderr.count("run.py: checkpoint is damaged") == 1
        assert (tmp_path / "run3").exists()
    assert calls(tmp_path)[-4:] == [f"<--seed={seed}><--load_or_start>" for seed in (1, 2, 8, 3)]


@needs_bash
def test_ctrl_c_stops_the_whole_sweep_and_tells_how_to_go_on(tmp_path, stand_in):
    command = [SWEEP, "9 1", "--results_dir=a b"]
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(command, cwd=tmp_path, env=stand_in, **settings) as process:
        while process.stdout.readline() != "training\n":
            pass
        # A terminal does so: the script and run.py both get it.
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "saved" in out and not (tmp_path / "run1").exists()
    assert err.rstrip().endswith(rf"the same command continues: {SWEEP} 9\ 1 --results_dir=a\ b")


@needs_bash
@pytest.mark.parametrize(
    "arguments, text",
    [
        ([], "the seeds are missing"),
        ([" "], "the seeds are missing"),
        (["--algorithm=BP"], "the seeds are missing"),
        (["1 x"], "seeds 'x'"),
        (["*"], "seeds '*'"),
        (["08"], "seeds '08'"),
        (["5-3"], "seeds '5-3'"),
        (["1 2,1"], "seeds '1 2,1': seed 1 is given more than once"),
        (["1-3 2"], "seeds '1-3 2': seed 2 is given more than once"),
        ([f"1-{MOST + 1}"], f"seeds '1-{MOST + 1}': must be at most {MOST} seeds"),
        (["0-999999999", "--list"], f"seeds '0-999999999': must be at most {MOST} seeds"),
        ([f"1-{MOST} 0", "--status"], f"seeds '1-{MOST} 0': must be at most {MOST} seeds"),
        (["1", "--seed=2"], "--seed=2: the seeds are the first argument"),
        (["1", "--seeds=1-2"], "--seeds=1-2: the seeds are the first argument"),
        (["1", "--overwrite"], "--overwrite"),
        (["1", "--version"], "--version: must stand in place of the seeds"),
        (["1", "--load"], "--load"),
    ],
)
def test_mistakes_are_refused_before_the_first_run(tmp_path, stand_in, arguments, text):
    done = sweep(tmp_path, stand_in, *arguments)
    assert done.returncode == 2 and text in done.stderr and not (tmp_path / "calls").exists()


@needs_bash
def test_as_many_seeds_as_in_one_process_are_listed(tmp_path, stand_in):
    assert sweep(tmp_path, stand_in, f"2-{MOST} 0", "--list").returncode == 0
    assert calls(tmp_path) == [f"<{' '.join(map(str, [*range(2, MOST + 1), 0]))}><--list>"]


@needs_bash
def test_a_missing_interpreter_is_told(tmp_path):
    done = sweep(tmp_path, {**os.environ, "PYTHON": "/no/such/python"}, "1")
    assert done.returncode == 2 and "/no/such/python" in done.stderr


@needs_bash
def test_with_the_real_program_it_starts_skips_and_continues(tmp_path):
    environment = {**os.environ, "PYTHON": sys.executable}
    options = ["3", "--train_samples=60", "--threads=1", "--quiet", "--nb_epochs=1"]
    started = sweep(tmp_path, environment, *options)
    assert (started.returncode, started.stderr) == (0, "")
    [metrics] = tmp_path.glob("results/*_3Seed_*/metrics.csv")
    before = metrics.read_bytes(), metrics.stat().st_mtime_ns
    skipped = sweep(tmp_path, environment, *options)
    assert skipped.returncode == 0 and "epoch 1/1" not in skipped.stdout
    assert (metrics.read_bytes(), metrics.stat().st_mtime_ns) == before
    continued = sweep(tmp_path, environment, *options[:-1], "--nb_epochs=2")
    assert continued.returncode == 0 and "epoch 2/2" in continued.stdout and "epoch 1/2" not in continued.stdout
    # These are the header, the row before training, and two epochs.
    assert len(metrics.read_text().splitlines()) == 4
    # Of a run that has more epochs than asked for nothing is left to do, whoever is asked.
    before = metrics.read_bytes(), metrics.stat().st_mtime_ns
    for more in ((), ("--list",), ("--status",)):
        done = sweep(tmp_path, environment, *options, *more)
        assert (done.returncode, done.stderr) == (0, "")
        assert "finished" in done.stdout if "--list" not in more else done.stdout == ""
    assert (metrics.read_bytes(), metrics.stat().st_mtime_ns) == before


def make_run(folder, seed, test, training, outcome="finished", **settings):
    """A run folder with accuracies after epochs 0, 1, …; returns its name."""
    folder.mkdir()
    named = {"algorithm": "GAIT", "seed": seed, **settings}
    (folder / "config.json").write_text(json.dumps({"options": {}, "settings": named}))
    rows = [f"{epoch},0,{training[epoch]},1,{test[epoch]},1,0" for epoch in range(len(test))]
    header = "epoch,batch,training_acc,training_loss,test_acc,test_loss,seconds"
    (folder / "metrics.csv").write_text("\n".join([header, *rows]) + "\n")
    ends = {"outcome": "finished", "epochs": len(test) - 1, "test_acc": test[-1], "training_acc": training[-1]}
    if outcome:
        (folder / "DONE").write_text(json.dumps(ends if outcome == "finished" else {"outcome": outcome, "epoch": 1}))
    return str(folder)


@pytest.fixture
def three_seeds(tmp_path):
    test = [(0.1, 0.85, 0.80), (0.1, 0.86, 0.82), (0.1, 0.84, 0.84)]
    training = [(0.1, 0.8, 0.90), (0.1, 0.8, 0.90), (0.1, 0.8, 0.93)]
    return [make_run(tmp_path / f"seed{seed}", seed, test[seed], training[seed]) for seed in range(3)]


def cells(capsys):
    """The lines of the table as lists of words."""
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_the_table_holds_mean_and_sample_standard_deviation(three_seeds, capsys):
    assert summarise_seeds.main(three_seeds) == 0
    # test 80, 82, 84: mean 82, std sqrt((4 + 0 + 4) / 2) = 2; training 90, 90, 93: mean 91, std sqrt((1 + 1 + 4) / 2) =
    # 1.73 mean curve of the test accuracy 10, 85, 82: best after epoch 1, where 85, 86, 84 have std 1
    assert cells(capsys)[1:] == [["GAIT", "3", "2", "82.00", "2.00", "91.00", "1.73", "85.00", "1.00", "1"]]


def test_the_final_accuracy_of_a_run_measured_between_batches_is_that_of_its_end(tmp_path, capsys):
    """With --eval_interval the last row is some batches old; DONE tells of the weights that were saved."""
    folder = Path(make_run(tmp_path / "a", 1, (0.1, 0.5), (0.1, 0.5)))
    metrics = folder / "metrics.csv"
    metrics.write_text(metrics.read_text().replace("\n1,0,", "\n0,990,"))
    (folder / "config.json").write_text(
        json.dumps(
            {"options": {"train_samples": 60000, "batch_size": 60}, "settings": {"algorithm": "GAIT", "seed": 1}}
        )
    )
    (folder / "DONE").write_text(
        json.dumps({"outcome": "finished", "epochs": 1, "test_acc": 0.75, "training_acc": 0.875})
    )
    assert summarise_seeds.main([str(folder), "--csv", str(tmp_path / "table.csv")]) == 0
    with open(tmp_path / "table.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (float(row["test_acc_mean"]), float(row["training_acc_mean"])) == (75.0, 87.5)


def test_one_seed_has_no_standard_deviation(three_seeds, capsys):
    assert summarise_seeds.main(three_seeds[:1]) == 0
    assert cells(capsys)[1:] == [["GAIT", "1", "2", "80.00", "-", "90.00", "-", "85.00", "-", "1"]]


def test_csv_holds_the_same_numbers_with_all_digits(three_seeds, tmp_path, capsys):
    other = make_run(tmp_path / "bp", 1, (0.1, 0.5), (0.1, 0.6), algorithm="BP")
    assert summarise_seeds.main([*three_seeds, other, "--csv", str(tmp_path / "table.csv")]) == 0
    with open(tmp_path / "table.csv", newline="") as file:
        gait, bp = csv.DictReader(file)
    assert (gait["setting"], gait["seeds"], gait["epochs"], gait["best_test_acc_epoch"]) == ("GAIT", "3", "2", "1.0")
    assert float(gait["test_acc_mean"]) == pytest.approx(82, rel=1e-14)
    assert float(gait["training_acc_std"]) == pytest.approx(3**0.5, rel=1e-12)
    assert (bp["setting"], bp["test_acc_mean"], bp["test_acc_std"]) == ("BP", "50.0", "")


def test_unfinished_and_failed_runs_are_named_and_left_out(three_seeds, tmp_path, capsys):
    unfinished = make_run(tmp_path / "u", 3, (0.1, 0.2), (0.1, 0.2), outcome=None)
    diverged = make_run(tmp_path / "d", 4, (0.1, 0.2), (0.1, 0.2), outcome="diverged")
    # The run was killed before its first measurement.
    (tmp_path / "u" / "metrics.csv").unlink()
    assert summarise_seeds.main([*three_seeds, unfinished, diverged]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1].split()[1:5] == ["3", "2", "82.00", "2.00"]
    assert out[2:] == [
        f"{unfinished}: unfinished, left out of the means",
        f"{diverged}: diverged in epoch 1, left out of the means",
    ]


def test_a_setting_without_a_finished_run_stays_in_the_table(tmp_path, capsys):
    folder = make_run(tmp_path / "d", 1, (0.1, 0.2), (0.1, 0.2), outcome="diverged")
    assert summarise_seeds.main([folder]) == 1
    assert cells(capsys)[1] == ["GAIT", "0", *"--------"]


def test_different_numbers_of_epochs_are_not_averaged(three_seeds, tmp_path, capsys):
    longer = make_run(tmp_path / "long", 7, (0.1, 0.2, 0.3, 0.9), (0.1, 0.2, 0.3, 0.9))
    assert summarise_seeds.main([longer, *three_seeds]) == 0
    assert [row[:4] for row in cells(capsys)[1:]] == [["GAIT", "3", "2", "82.00"], ["GAIT", "1", "3", "90.00"]]


def test_mistakes_and_damage_are_one_sentence(three_seeds, tmp_path, capsys):
    lost = make_run(tmp_path / "lost", 5, (0.1, 0.2, 0.3), (0.1, 0.2, 0.3))
    file = tmp_path / "lost" / "metrics.csv"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    for argv, text in (
        ([*three_seeds, str(tmp_path / "none")], "none is not a run folder"),
        ([lost], "metrics.csv is damaged: its last test_acc is not the one in DONE"),
        ([*three_seeds, "--csv", str(tmp_path / "no" / "table.csv")], "cannot write"),
    ):
        assert summarise_seeds.main(argv) == 2
        message = capsys.readouterr().err
        assert text in message and message.startswith("summarise_seeds.py: ") and message.count("\n") == 1
