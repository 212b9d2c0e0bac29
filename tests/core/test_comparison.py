"""tables.comparison: means, intervals and states of cells on made-up runs, the numbers worked
out by hand or in theory."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from sweeps.processes import Job
from tables.comparison import Row, rows_of, welch
from tables.published import Cell
from tables.records import find
from tests.runs_for_tests import ENDS, make_run

CELL = Cell("t", "Fashion-MNIST", "DFC-SSA", "test error %, best validation epoch", 51.0, 2.0, 5, 2, 1.0, "x.py", "", 2)
SETTINGS = {"dataset": "fashion_mnist", "network_type": "DFC", "ndi": True, "single_precision": False, "random_seed": 9}
JOB = Job("j", None, [], SETTINGS, 2)
HEADER = "epoch,batch,acc_val,acc_test,seconds\n"


def series(*best):
    """metrics.csv whose best validation epochs have these test accuracies, one epoch after the other."""
    return HEADER + "".join(f"{epoch},0,{0.5 + epoch / 100},{value},{epoch}\n" for epoch, value in enumerate(best, 1))


def rows(folder, cell=CELL, job=JOB):
    return rows_of(cell, [job], find([folder])[0])


def test_welch_against_the_table_of_student():
    """n = 2 and equal spreads leave 2 degrees of freedom, where t.975 = 4.303; n large leaves the normal's 1.960."""
    low, high = welch((3.0, 1.0, 2), (1.0, 1.0, 2))
    assert (low, high) == (pytest.approx(2 - 4.302653, abs=1e-5), pytest.approx(2 + 4.302653, abs=1e-5))
    low, high = welch((0.0, 1.0, 10**8), (0.0, 1.0, 10**8))
    assert high == pytest.approx(1.959964 * math.sqrt(2e-8), rel=1e-5) and low == -high
    assert welch((3.0, 0.0, 4), (1.0, 0.0, 5)) == (2.0, 2.0)


def test_welch_covers_the_true_difference_in_95_of_100_cases():
    draw = np.random.default_rng(0)
    ours, other = draw.normal(1.0, 3.0, (4000, 10)), draw.normal(0.5, 1.0, (4000, 12))
    held = 0
    for a, b in zip(ours, other, strict=True):
        low, high = welch((a.mean(), a.std(ddof=1), 10), (b.mean(), b.std(ddof=1), 12))
        held += low <= 0.5 <= high
    assert 0.94 < held / 4000 < 0.96


def test_a_cell_is_the_mean_over_its_finished_runs(tmp_path):
    for seed, accuracy in enumerate((0.48, 0.50, 0.52), 1):
        make_run(tmp_path / str(seed), seed=seed, rows=series(0.9, accuracy))
    make_run(tmp_path / "other rule", seed=1, network_type="DFA")
    make_run(tmp_path / "other program", "run.py", seed=1)
    (row,) = rows(tmp_path)
    # The three are 52, 50 and 48.
    assert row.n == 3 and row.mean == pytest.approx(50) and row.std == pytest.approx(2)
    assert row.difference == pytest.approx(-1)
    assert row.interval == welch((row.mean, row.std, 3), (51.0, 2.0, 5))
    assert (row.state, row.whole, row.precision, row.apart) == ("partial", True, "float32", False)
    assert rows(tmp_path, replace(CELL, n=3))[0].state == "complete"


def test_a_run_counts_whichever_script_called_the_program(tmp_path):
    for seed, script in enumerate(("main.py", "run_config.py", "run_strong.py", "own_study.py"), 1):
        folder = make_run(tmp_path / script, seed=seed, rows=series(0.9, 0.5))
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"command": [f"/home/someone/{script}"]}))
    (row,) = rows(tmp_path)
    assert (row.n, {record.program for record in row.used}) == (
        4, {"main.py", "run_config.py", "run_strong.py", "own_study.py"},
    )  # fmt: skip


def test_one_run_has_no_interval_nor_has_a_published_number_without_spread(tmp_path):
    make_run(tmp_path / "a", rows=series(0.9, 0.5))
    (row,) = rows(tmp_path)
    assert (row.n, row.std, row.interval, row.difference) == (1, None, None, -1.0)
    make_run(tmp_path / "b", seed=2, rows=series(0.9, 0.6))
    assert rows(tmp_path, replace(CELL, std=None))[0].interval is None
    (row,) = rows(tmp_path, replace(CELL, mean=None, std=None))
    assert (row.difference, row.interval, row.apart, row.mean) == (None, None, False, 45.0)


def test_a_difference_beyond_one_published_deviation_stands_apart(tmp_path):
    make_run(tmp_path / "a", rows=series(0.9, 0.4))
    # 60 lies apart from 51 +- 2.
    assert rows(tmp_path)[0].apart
    make_run(tmp_path / "b", seed=2, rows=series(0.9, 0.4001))
    (row,) = rows(tmp_path, replace(CELL, std=30.0, n=1000))
    assert row.interval[0] > 0 and row.apart


def test_shortened_runs_are_shown_and_not_compared(tmp_path):
    make_run(tmp_path / "a", rows=series(0.5), done=ENDS["main.py"] | {"epochs": 1})
    make_run(tmp_path / "b", seed=2, rows=series(0.9, 0.5), train_samples=2000)
    few, short = sorted(rows(tmp_path), key=lambda row: row.samples == 0)
    assert (short.epochs, short.state, short.difference, short.mean) == (1, "short", None, 50.0)
    assert (few.samples, few.epochs, few.state, few.difference) == (2000, 2, "short", None)


def test_precisions_are_rows_of_their_own_and_mixtures_are_told(tmp_path):
    for seed, precision in ((1, True), (2, True), (3, False)):
        make_run(tmp_path / str(seed), seed=seed, rows=series(0.9, 0.5), single_precision=precision)
    config = json.loads((tmp_path / "2" / "config.json").read_text())
    (tmp_path / "2" / "config.json").write_text(json.dumps(config | {"threads": 4, "git_commit": "def"}))
    found = {row.precision: row for row in rows(tmp_path)}
    assert {precision: row.n for precision, row in found.items()} == {"float32": 2, "float64": 1}
    assert (
        found["float32"].mixed == "runs of different program versions, numbers of threads"
        and not found["float64"].mixed
    )


def test_failed_unfinished_and_absent_runs_are_states(tmp_path):
    assert rows_of(CELL, [JOB], []) == [Row(CELL)] and Row(CELL).state == "missing"
    assert Row(replace(CELL, command="")).state == "none" and Row(CELL, problem="no such config").state == "refused"
    make_run(tmp_path / "a", done={"outcome": "diverged", "epoch": 2})
    (row,) = rows(tmp_path)
    assert row.state == "failed" and [record.seed for record in row.failed] == [1] and row.n == 0
    make_run(tmp_path / "b", seed=2, done=None)
    assert rows(tmp_path)[0].state == "failed"
    make_run(tmp_path / "c", seed=3, rows=series(0.9, 0.5))
    assert rows(tmp_path)[0].state == "partial"


def test_a_finished_run_that_lacks_the_quantity_is_not_counted(tmp_path):
    make_run(tmp_path / "a", rows="epoch,batch,loss_train\n1,0,1\n2,0,1\n")
    make_run(tmp_path / "b", seed=2, rows=series(0.9, math.nan))
    (row,) = rows(tmp_path)
    assert row.n == 0 and row.mean is None and row.state == "partial"


def test_seconds_are_the_median_over_the_runs(tmp_path):
    for seed, second in enumerate((1, 3, 10), 1):
        make_run(tmp_path / str(seed), seed=seed, rows=HEADER + f"1,0,0.5,0.5,7\n2,0,0.6,0.5,{7 + second}\n")
    assert rows(tmp_path)[0].seconds == 3
