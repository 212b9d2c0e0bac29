"""sweeps/pipeline_results.py: statistics worked out by hand, and results that come back from the disk as they were."""

import csv
import io
import math

import numpy as np
import pytest

from core.files import FileError
from dfc.measures.summary import Frame
from sweeps.pipeline_results import (
    angle_statistics,
    column_means,
    read_record,
    read_results,
    statistics,
    table_text,
    write_lists,
    write_results,
)

NAN = math.nan
LATEX = r"$\gamma=0.1$, \bar{Q} (a b)"


def frame(*rows):
    return Frame(list(range(1, len(rows) + 1)), list(range(len(rows[0]))), np.array(rows, dtype=float))


def test_angle_statistics_by_hand():
    found = angle_statistics("bp_angles", frame([10, 20], [30, 60], [2, 4], [4, 12], [9, 14]))
    assert found == {
        # the column means are 55 / 5 and 110 / 5; of rows 0, 1: 20 and 40; of rows 2, 3, 4: 15 / 3 and 30 / 3
        "avg_bp_angles": 16.5,
        "bp_anglesavgfirsthalf": 30,
        "bp_anglesavgsecondhalf": 7.5,
        "avg_bp_angles_layer0": 11,
        "avg_bp_angles_layer1": 22,
        "bp_anglesavgfirsthalf_layer0": 20,
        "bp_anglesavgfirsthalf_layer1": 40,
        "bp_anglesavgsecondhalf_layer0": 5,
        "bp_anglesavgsecondhalf_layer1": 10,
        "initial_bp_angles_layer0": 10,
        "initial_bp_angles_layer1": 20,
    }
    assert all(type(number) is float for number in found.values())


def test_what_is_no_number_counts_in_no_mean():
    found = angle_statistics("a", frame([NAN, 20, NAN], [30, 60, NAN]))
    assert (found["avg_a_layer0"], found["avg_a_layer1"], found["avg_a"]) == (30, 40, 35)
    assert math.isnan(found["avg_a_layer2"]) and math.isnan(found["initial_a_layer0"])
    assert found["aavgfirsthalf"] == 20


def test_a_single_row_has_no_first_half():
    found = angle_statistics("a", frame([5, 7]))
    assert math.isnan(found["aavgfirsthalf"]) and math.isnan(found["aavgfirsthalf_layer1"])
    assert (found["aavgsecondhalf"], found["avg_a"], found["initial_a_layer1"]) == (6, 6, 7)


def test_means_of_columns():
    np.testing.assert_array_equal(column_means(np.array([[1.0, NAN], [2.0, NAN]])), [1.5, NAN])
    assert column_means(np.empty((0, 3))).shape == (3,)


def test_a_row_holds_what_the_summary_has():
    summary = {
        "loss_test_last": 0.5,
        "loss_test": np.ones(2),
        "epoch_best_acc": -1,
        "angles": 3,
        "b_angles": frame([1]),
    }
    summary |= {"empty_angles": Frame([], [0, 1], np.empty((0, 2))), "table": frame([1]), "converged": np.ones(2)}
    row = statistics(summary, ["epoch_best_acc", "absent", "loss_test_last"], [*summary, "absent_angles"])
    assert list(row)[:2] == ["epoch_best_acc", "loss_test_last"]
    assert (row["epoch_best_acc"], row["loss_test_last"]) == (-1, 0.5)
    assert {name.replace("b_angles", "") for name in row if name not in ("epoch_best_acc", "loss_test_last")} == {
        "avg_", "avgfirsthalf", "avgsecondhalf",
        "avg__layer0", "avgfirsthalf_layer0", "avgsecondhalf_layer0", "initial__layer0"
    }  # fmt: skip


def test_the_table_has_all_digits_all_names_and_empty_cells():
    rows = {LATEX: {"b": 0.1 + 0.2, "x": 1}, 'say "no"': {"a": 2, "b": NAN, "y": 3.0}, "nothing": {}}
    table = list(csv.reader(io.StringIO(table_text(rows, ["a", "b", "c"]))))
    assert table == [
        ["", "a", "b", "x", "y"],
        [LATEX, "", "0.30000000000000004", "1", ""],
        ['say "no"', "2", "nan", "", "3.0"],
        ["nothing", "", "", "", ""],
    ]


SUMMARIES = {
    "DFA": {"loss": np.array([0.1, 0.2]), "bp_angles": frame([1, 2], [0.1 + 0.2, NAN])},
    LATEX: {
        "loss": np.array([3.0]),
        "bp_angles": Frame([2, 5], [0, 1, 2], np.arange(6.0).reshape(2, 3)),
        "max_eig_keys": ["A_tildeI", "A_I"],
        "log_interval": 5,
    },
}
KEYS = ["loss", "bp_angles", "never", "max_eig_keys", "log_interval"]


@pytest.fixture
def folder(tmp_path):
    for name, summary in SUMMARIES.items():
        write_results(tmp_path, name, summary, KEYS)
    write_lists(tmp_path, SUMMARIES, KEYS)
    return tmp_path


def test_results_come_back_as_they_were(folder):
    found = read_results(folder)
    assert {key: list(each) for key, each in found.items()} == {
        "loss": ["DFA", LATEX],
        "bp_angles": ["DFA", LATEX],
        "max_eig_keys": [LATEX],
        "log_interval": [LATEX],
    }
    for name, summary in SUMMARIES.items():
        np.testing.assert_array_equal(found["loss"][name], summary["loss"])
        back, there = found["bp_angles"][name], summary["bp_angles"]
        assert (back.steps, back.columns) == (there.steps, there.columns)
        np.testing.assert_array_equal(back.values, there.values)
    assert found["max_eig_keys"][LATEX].tolist() == ["A_tildeI", "A_I"] and found["log_interval"][LATEX] == 5


def test_the_published_files_and_nothing_else(folder):
    results = folder / "result_dict"
    assert {path.name for path in results.iterdir()} == {
        "keys.txt", "names.txt", "is_array.npy", "loss_DFA.npy", "bp_angles_DFA.csv", f"loss_{LATEX}.npy",
        f"bp_angles_{LATEX}.csv", f"max_eig_keys_{LATEX}.npy", f"log_interval_{LATEX}.npy",
    }  # fmt: skip
    assert (results / "keys.txt").read_text() == "loss\nbp_angles\nmax_eig_keys\nlog_interval\n"
    assert (results / "names.txt").read_text() == f"DFA\n{LATEX}\n"
    assert np.load(results / "is_array.npy", allow_pickle=False).tolist() == [True, False, True, True]
    assert (results / "bp_angles_DFA.csv").read_text() == ",0,1\n1,1.0,2.0\n2,0.30000000000000004,nan\n"


def test_what_an_earlier_run_left_is_gone(folder):
    write_results(folder, "DFA", {"loss": frame([1])}, KEYS)
    write_lists(folder, {"DFA": {"loss": frame([1])}}, KEYS)
    found = read_results(folder)
    assert list(found) == ["loss"] and list(found["loss"]) == ["DFA"] and isinstance(found["loss"]["DFA"], Frame)
    assert not (folder / "result_dict" / "bp_angles_DFA.csv").exists()


@pytest.mark.parametrize(
    "file, content",
    [
        ("loss_DFA.npy", b"\x93NUMPY"),
        ("loss_DFA.npy", b""),
        ("bp_angles_DFA.csv", b",0,1\n1,2\n"),
        ("bp_angles_DFA.csv", b",0\n1,x\n"),
        ("bp_angles_DFA.csv", b""),
        ("bp_angles_DFA.csv", b"\xff"),
    ],
)
def test_a_damaged_file_is_named(folder, file, content):
    (folder / "result_dict" / file).write_bytes(content)
    with pytest.raises(FileError, match=f"{file} is damaged or unreadable"):
        read_results(folder)


def test_nothing_is_unpickled(folder):
    np.save(folder / "result_dict" / "loss_DFA.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(FileError, match=r"loss_DFA.npy is damaged"):
        read_results(folder)


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(FileError, match=r"holds no results of run_pipeline.py \(No such file"):
        read_results(tmp_path)
    with pytest.raises(FileError, match=r"it has no pipeline.json"):
        read_record(tmp_path)
    (tmp_path / "pipeline.json").write_text('{"experiments": {"DFA": {"log_interval": "x"}}}')
    with pytest.raises(FileError, match=r"has no valid log_interval of 'DFA'"):
        read_record(tmp_path)


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "result_dict").write_text("")
    with pytest.raises(FileError, match="cannot use the folder"):
        write_results(tmp_path, "DFA", {}, KEYS)
