"""figures/against_bp.py: the differences of paired runs by hand, what is left out, its files."""

import csv

import pytest

from figures import against_bp
from tables.records import find
from tests.runs_for_tests import make_run

HEAD = "epoch,batch,training_acc,training_loss,test_acc,test_loss,seconds\n"
# Two-sided 95 % quantiles of Student's t with 1 and 2 degrees of freedom, from printed tables.
T1, T2 = 12.706, 4.303


def made(place, rule, accuracies, *, reg=0.1, layers=4, done="finished", **options):
    """Runs of a rule, one per seed, each with the test accuracies of its epochs in percent."""
    for seed, values in enumerate(accuracies, 1):
        rows = HEAD + "".join(f"{epoch},0,0.5,0.5,{value / 100},0.5,{epoch}.0\n" for epoch, value in enumerate(values))
        end = {"outcome": "finished", "epochs": len(values) - 1} if done == "finished" else done
        folder = place / f"{rule}_{reg}_{layers}_{seed}_{len(options)}"
        make_run(folder, "run.py", seed, end, rows, algorithm=rule, orthogonal_reg=reg, nb_layers=layers, **options)


def found(place):
    rows, notes = against_bp.differences(find([place])[0])
    return {(row.task, row.method): row for row in rows}, notes


def test_differences_are_of_pairs(tmp_path):
    """Differences -1, -2, -3: mean -2, sample deviation 1, half the interval t / sqrt(3)."""
    made(tmp_path, "BP", [[10, 90], [10, 92], [10, 97]])
    made(tmp_path, "GAIT", [[10, 89], [10, 90], [10, 94]])
    rows, notes = found(tmp_path)
    (row,) = rows.values()
    assert (row.task, row.method, row.epoch, row.n) == ("FMNIST, 4 hidden layers", "GAIT, regularised", 1, 3)
    assert (row.accuracy, row.mean) == pytest.approx((91, -2)) and notes == []
    assert (row.low, row.high) == pytest.approx((-2 - T2 / 3**0.5, -2 + T2 / 3**0.5), abs=1e-3)


def test_all_rules_of_a_task_are_measured_after_the_same_epoch(tmp_path):
    made(tmp_path, "BP", [[10, 80, 90], [10, 82, 92]])
    made(tmp_path, "GAIT", [[10, 79], [10, 83]])
    made(tmp_path, "BP", [[10, 85, 95]], reg=0.0)
    rows, _ = found(tmp_path)
    gait, plain = (rows["FMNIST, 4 hidden layers", method] for method in ("GAIT, regularised", "BP"))
    # differences -1 and 1: mean 0, deviation sqrt(2)
    assert (gait.epoch, gait.mean, gait.high) == (1, pytest.approx(0), pytest.approx(T1, abs=1e-3))
    # one pair has no interval
    assert (plain.epoch, plain.n, plain.mean) == (1, 1, pytest.approx(5)) and plain.low != plain.low


def test_tasks_are_kept_apart(tmp_path):
    kinds = {}, {"tower": True}, {"linear": True}, {"train_samples": 60}, {"unit_rows": True}
    for layers, options in ((1, {}), *((4, kind) for kind in kinds)):
        made(tmp_path / str(len(str(options))), "BP", [[10, 90], [10, 91]], layers=layers, **options)
        made(tmp_path / str(len(str(options))), "GAIT", [[10, 90 + layers], [10, 91]], layers=layers, **options)
    tasks = {task.removeprefix("FMNIST, ") for task, _ in found(tmp_path)[0]}
    four = "4 hidden layers"
    kinds = "linear", "60 samples", "unit rows"
    assert tasks == {"1 hidden layer", four, "tower", *(f"{four}, {kind}" for kind in kinds)}


def test_another_strength_of_the_regulariser_is_another_task_but_for_tp(tmp_path):
    for reg in (0.1, 10.0):
        made(tmp_path, "BP", [[10, 90], [10, 91]], reg=reg)
        made(tmp_path, "GAIT", [[10, 90 - reg], [10, 91 - reg]], reg=reg)
    made(tmp_path, "TP", [[10, 40]], reg=1000.0)
    rows, _ = found(tmp_path)
    task, own = "FMNIST, 4 hidden layers", "FMNIST, 4 hidden layers, \N{GREEK SMALL LETTER LAMDA} = 10"
    means = {key: row.mean for key, row in rows.items()}
    wanted = {(task, "GAIT, regularised"): -0.1, (own, "GAIT, regularised"): -10, (task, "TP, regularised"): -50}
    assert means == pytest.approx(wanted)


def test_what_is_left_out_is_named(tmp_path):
    made(tmp_path, "BP", [[10, 90], [10, 91]])
    made(tmp_path, "GAIT", [[10, 90], [10, 91]])
    made(tmp_path, "TP", [[10, 90]], done={"outcome": "diverged", "epoch": 2})
    made(tmp_path, "GAIT", [[10, 90]], layers=2)
    make_run(tmp_path / "main", seed=3)
    rows, notes = found(tmp_path)
    assert [method for _, method in rows] == ["GAIT, regularised"]
    assert len(notes) == 2 and "diverged" in notes[0] and "FMNIST, 2 hidden layers" in notes[1]


def test_runs_that_are_measured_within_epochs_are_left_out(tmp_path):
    for rule in ("BP", "GAIT"):
        made(tmp_path, rule, [[10, 90]])
        made(tmp_path, rule, [[10, 90]], layers=2, eval_interval=5)
    rows, notes = found(tmp_path)
    assert len(rows) == 1 and len(find([tmp_path])[0]) == 4
    assert all("--eval_interval" in note for note in notes) and len(notes) == 2


def test_two_runs_of_one_rule_and_seed_are_refused(tmp_path):
    made(tmp_path, "BP", [[10, 90]])
    made(tmp_path, "GAIT", [[10, 90]])
    made(tmp_path, "GAIT", [[10, 91]], gamma=0.5)
    with pytest.raises(against_bp.UsageError, match="two runs of GAIT, regularised with seed 1"):
        found(tmp_path)


def test_picture_and_table(tmp_path, capsys):
    made(tmp_path / "runs", "BP", [[10, 90], [10, 92]])
    made(tmp_path / "runs", "GAIT", [[10, 89], [10, 90]])
    made(tmp_path / "runs", "TP", [[10, 40]], reg=1000.0)
    picture, table = tmp_path / "a.png", tmp_path / "a.csv"
    assert against_bp.main([str(tmp_path / "runs"), f"--output={picture}", f"--table={table}"]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG") and capsys.readouterr().out == f"{picture}\n"
    gait, tp = csv.DictReader(table.read_text().splitlines())
    assert (gait["method"], float(gait["mean"]), tp["method"], float(tp["mean"])) == (
        "GAIT, regularised", pytest.approx(-1.5), "TP, regularised", pytest.approx(-50),
    )  # fmt: skip
    assert float(gait["high"]) == pytest.approx(-1.5 + T1 * 0.5, abs=1e-3) and tp["low"] == tp["high"] == ""


def test_runs_that_cannot_be_compared(tmp_path, capsys):
    made(tmp_path, "GAIT", [[10, 90]])
    assert against_bp.main([str(tmp_path), f"--output={tmp_path / 'a.png'}"]) == 2
    assert "no run of a rule of run.py with one by BP, regularised" in capsys.readouterr().err
    assert not (tmp_path / "a.png").exists()
