"""figures/learning_curves.py on made-up runs, whose means and standard deviations are worked out by hand."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from figures import learning_curves
from figures.runs import group_by_setting, load_curves, names, read_run, read_runs, read_series

ROOT = Path(__file__).resolve().parents[2]
HEADER = "epoch,batch,training_acc,training_loss,test_acc,test_loss,seconds"
SETTINGS = {"algorithm": "BP", "dataset": "MNIST", "seed": 1, "learning_rate": 0.0001, "tower": False}
OUTCOMES = {
    "finished": {"outcome": "finished", "epochs": 2, "test_acc": 0.6},
    "diverged": {"outcome": "diverged", "epoch": 2},
    "singular": {"outcome": "singular", "epoch": 2},
}


def make_run(folder, test_acc=(0.1, 0.5, 0.6), outcome="finished", options=(), rows=None, **settings):
    """A run folder with the given test accuracies after epochs 0, 1, … or with rows of metrics.csv."""
    folder.mkdir()
    every = {"train_samples": 600, "batch_size": 60, **dict(options)}
    (folder / "config.json").write_text(json.dumps({"options": every, "settings": {**SETTINGS, **settings}}))
    rows = rows or [f"{epoch},0,{acc},{1 - acc},{acc},{1 - acc},1.5" for epoch, acc in enumerate(test_acc)]
    (folder / "metrics.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    if outcome:
        (folder / "DONE").write_text(json.dumps(OUTCOMES[outcome]))
    return folder


def curves_of(*folders, start=0.0):
    return load_curves(read_runs(folders), learning_curves.COLUMNS, start)


@pytest.mark.parametrize(
    "train_samples, batch_size, batch, fraction",
    [(600, 60, 5, 0.5), (0, 60, 10, 0.01), (610, 60, 1, 1 / 11)],
    ids=["ten batches", "all 60000 images", "a short last batch"],
)
def test_a_batch_is_a_fraction_of_an_epoch(tmp_path, train_samples, batch_size, batch, fraction):
    rows = ["0,0,.1,1,.1,1,0", f"2,{batch},.2,1,.2,1,1"]
    run = read_run(
        make_run(tmp_path / "a", rows=rows, options={"train_samples": train_samples, "batch_size": batch_size}.items())
    )
    np.testing.assert_allclose(read_series(run, ["test_acc"])["x"], [0, 2 + fraction], rtol=1e-15)


def test_seeds_become_their_mean_and_sample_standard_deviation(tmp_path):
    folders = [make_run(tmp_path / str(seed), (0.1, 0.4 + 0.1 * seed), seed=seed) for seed in (1, 2, 3)]
    [curve], notes = curves_of(*folders)
    assert (curve.name, curve.seeds, notes) == ("BP (3 seeds)", 3, [])
    np.testing.assert_array_equal(curve.x, [0, 1])
    # The runs have 0.5, 0.6 and 0.7.
    np.testing.assert_allclose(curve.mean["test_acc"], [0.1, 0.6], rtol=1e-12)
    # The deviation is sqrt((0.01 + 0 + 0.01) / (3 - 1)).
    np.testing.assert_allclose(
        curve.std["test_acc"], [0, 0.1], rtol=1e-12, atol=1e-15
    )
    np.testing.assert_allclose(curve.mean["training_loss"], [0.9, 0.4], rtol=1e-12)


def test_one_run_has_no_band(tmp_path):
    [curve], _ = curves_of(make_run(tmp_path / "a"))
    assert (curve.name, curve.seeds, curve.std) == ("BP", 1, None)


def test_names_tell_only_what_differs(tmp_path):
    runs = [
        make_run(tmp_path / "a"),
        make_run(tmp_path / "b", algorithm="GAIT", gamma=0.001),
        make_run(tmp_path / "c", algorithm="GAIT", gamma=0.001, learning_rate=1e-5, tower=True),
    ]
    assert names(group_by_setting(read_runs(runs))) == [
        "BP, learning_rate 0.0001, not tower",
        "GAIT, learning_rate 0.0001, not tower",
        "GAIT, learning_rate 1e-05, tower",
    ]
    # gamma is no property of BP.
    assert names(group_by_setting(read_runs(runs[:2]))) == ["BP", "GAIT"]


def test_names_are_never_the_same(tmp_path):
    """A setting that only one of two otherwise equal runs knows of, as after an update of the program."""
    runs = read_runs([make_run(tmp_path / "old"), make_run(tmp_path / "new", added_later=3)])
    assert names(group_by_setting(runs)) == ["BP, old", "BP, new"]


def test_seeds_of_different_lengths_are_averaged_where_all_have_been(tmp_path):
    folders = [make_run(tmp_path / "a", (0.1, 0.5, 0.7)), make_run(tmp_path / "b", (0.3, 0.7), outcome=None, seed=2)]
    [curve], [note] = curves_of(*folders)
    np.testing.assert_allclose(curve.mean["test_acc"], [0.2, 0.6], rtol=1e-12)
    assert "ends at epoch 1" in note


def test_a_failed_seed_is_not_in_the_mean_and_the_name_says_so(tmp_path):
    folders = [make_run(tmp_path / str(seed), (0.1, 0.2 * seed), seed=seed) for seed in (1, 2)]
    folders.append(make_run(tmp_path / "3", (0.1, 0.1), outcome="diverged", seed=3))
    [curve], [note] = curves_of(*folders)
    assert curve.name == "BP (2 seeds, 1 more failed)"
    np.testing.assert_allclose(curve.mean["test_acc"], [0.1, 0.3], rtol=1e-12)
    assert str(folders[-1]) in note and "diverged in epoch 2" in note


@pytest.mark.parametrize("last", ["nan", "inf", "3e12"])
def test_a_diverged_run_is_drawn_up_to_its_last_good_row(tmp_path, last):
    rows = ["0,0,.1,1,.1,1,0", "1,0,.2,.8,.2,.9,1", f"2,0,.1,{last},.1,1,2"]
    [curve], _ = curves_of(make_run(tmp_path / "a", rows=rows, outcome="diverged"))
    assert curve.name == "BP (diverged in epoch 2)"
    np.testing.assert_array_equal(curve.x, [0, 1])


def test_a_singular_run_tells_the_epoch_it_stopped_in(tmp_path):
    [curve], _ = curves_of(make_run(tmp_path / "a", outcome="singular"))
    assert curve.name == "BP (singular in epoch 2)"


def test_start_leaves_out_earlier_epochs(tmp_path):
    [curve], _ = curves_of(make_run(tmp_path / "a"), start=1)
    np.testing.assert_array_equal(curve.x, [1, 2])


def test_the_same_folder_twice_counts_once(tmp_path):
    folder = make_run(tmp_path / "a")
    [curve], _ = curves_of(folder, tmp_path / "a" / ".." / "a")
    assert curve.seeds == 1


def break_with(name, content):
    return lambda folder: (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    "damage, expected",
    [
        (lambda folder: (folder / "config.json").unlink(), "is not a run folder: it has no config.json"),
        (break_with("config.json", b"{"), "config.json is damaged"),
        (break_with("config.json", b"[]"), "config.json is damaged"),
        (break_with("DONE", b"{}"), "DONE is damaged"),
        (lambda folder: (folder / "metrics.csv").unlink(), "has no metrics.csv"),
        (break_with("metrics.csv", b""), "metrics.csv is empty"),
        (break_with("metrics.csv", HEADER.encode() + b"\n"), "metrics.csv is empty"),
        (break_with("metrics.csv", b"epoch,batch\n0,0\n"), "has no column training_acc"),
        (break_with("metrics.csv", HEADER.encode() + b"\n0,0,1,1,1,1,1\n1,0,1,1"), "damaged: line 3 is not 7 numbers"),
        (break_with("metrics.csv", HEADER.encode() + b"\n0,0,1,1,x,1,1\n"), "damaged: line 2 is not 7 numbers"),
        (break_with("metrics.csv", HEADER.encode() + b"\n1,0,1,1,1,1,1\n" * 2), "damaged"),
        (break_with("metrics.csv", b"\xff\xfe\x00"), "metrics.csv is damaged"),
        (break_with("metrics.csv", HEADER.encode() + b"\n0,0,nan,nan,nan,nan,1\n"), "has no row of finite numbers"),
    ],
)
def test_a_damaged_folder_is_named_in_one_sentence(tmp_path, capsys, damage, expected):
    damage(make_run(tmp_path / "a"))
    refused(capsys, [str(tmp_path / "a")], str(tmp_path / "a"), expected)


def test_mistakes_on_the_command_line_are_one_sentence(tmp_path, capsys):
    folder, twin = str(make_run(tmp_path / "a")), str(make_run(tmp_path / "b"))
    refused(capsys, [str(tmp_path / "c")], "c is not a run folder: it is not there")
    refused(capsys, [folder + "/DONE"], "DONE is not a run folder: it is a file")
    refused(capsys, [folder, twin], folder, twin, "same setting and seed")
    refused(capsys, [folder, "--output=curves.jpg"], "--output=curves.jpg: the name must end in .png or .pdf")
    refused(capsys, [folder, "--from_epoch=7"], folder, "nothing to draw from epoch 7 on")
    for argv, text in (
        ([], "RUN_FOLDER"),
        ([folder, "--from_epoch=-1"], "[0, inf)"),
        ([folder, "--outptu=x"], "--output"),
    ):
        with pytest.raises(SystemExit) as stop:
            learning_curves.main(argv)
        assert stop.value.code == 2 and text in capsys.readouterr().err


def refused(capsys, argv, *texts):
    assert learning_curves.main(argv) == 2
    message = capsys.readouterr().err
    assert message.startswith("learning_curves.py: ") and message.count("\n") == 1
    assert all(text in message for text in texts), message


def test_without_matplotlib_it_says_what_to_install(tmp_path, capsys, monkeypatch):
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    refused(capsys, [str(make_run(tmp_path / "a"))], "pip install matplotlib")


@pytest.fixture
def matplotlib():
    return pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install matplotlib")


@pytest.fixture
def rules_and_seeds(tmp_path):
    """Three rules: two with three seeds, one with one."""
    rules = ["BP"] * 3 + ["GAIT"] * 3 + ["TP"]
    return [
        make_run(tmp_path / f"run{index}", (0.1, 0.4 + 0.05 * index, 0.5 + 0.05 * index), seed=index, algorithm=rule)
        for index, rule in enumerate(rules)
    ]


def test_pictures_have_the_format_of_their_ending(matplotlib, tmp_path, capsys, rules_and_seeds):
    outputs = [tmp_path / "curves.png", tmp_path / "curves.PDF"]
    settings = dict(matplotlib.rcParams)
    assert learning_curves.main([*map(str, rules_and_seeds), *(f"--output={path}" for path in outputs)]) == 0
    assert capsys.readouterr().out.split() == [str(path) for path in outputs]
    png, pdf = (path.read_bytes() for path in outputs)
    assert png[:8] == b"\x89PNG\r\n\x1a\n" and pdf[:5] == b"%PDF-"
    width, height = struct.unpack(">II", png[16:24])
    # The width is 8 inches of 150 dots; the height grows with the legend.
    assert width == 1200 and 870 < height < 1200
    assert dict(matplotlib.rcParams) == settings
    assert learning_curves.main([*map(str, rules_and_seeds), f"--output={tmp_path / 'again.pdf'}"]) == 0
    assert (tmp_path / "again.pdf").read_bytes() == pdf, "the same numbers must make the same file"


def test_every_panel_has_every_curve_and_one_legend_names_them(matplotlib, rules_and_seeds):
    curves, _ = curves_of(*rules_and_seeds)
    figure = learning_curves.draw(curves, "MNIST")
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["BP (3 seeds)", "GAIT (3 seeds)", "TP"]
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "training accuracy (%)", "test accuracy (%)", "training loss", "test loss",
    ]  # fmt: skip
    for axes in figure.axes:
        # There are three means and two bands.
        assert len(axes.lines) == 3 and len(axes.collections) == 2
        assert axes.get_yscale() == ("log" if "loss" in axes.get_ylabel() else "linear")
    # This is run 6, in percent.
    np.testing.assert_allclose(figure.axes[1].lines[2].get_ydata(), [10, 70, 80], rtol=1e-12)


@pytest.mark.parametrize("count", [1, 12])
def test_the_legend_covers_nothing_and_styles_differ_without_colour(matplotlib, tmp_path, count):
    folders = [
        make_run(tmp_path / str(i), (0.1, 0.5, 0.9), algorithm="GAIT", learning_rate=0.1 / (i + 1))
        for i in range(count)
    ]
    figure = learning_curves.draw(curves_of(*folders)[0])
    figure.canvas.draw()
    legend = figure.legends[0].get_window_extent()
    lowest = min(axes.get_tightbbox().y0 for axes in figure.axes)
    assert legend.y1 < lowest and legend.y0 > 0 and legend.x0 > 0 and legend.x1 < figure.bbox.x1
    lines = figure.axes[0].lines
    assert len({(line.get_marker(), str(line._unscaled_dash_pattern)) for line in lines}) == count


def test_a_picture_that_cannot_be_written_is_one_sentence(matplotlib, tmp_path, capsys):
    refused(capsys, [str(make_run(tmp_path / "a")), f"--output={tmp_path / 'no' / 'x.png'}"], "cannot write", "x.png")


def test_it_runs_as_a_script(matplotlib, tmp_path):
    folder, picture = make_run(tmp_path / "a"), tmp_path / "a.png"
    command = [sys.executable, "figures/learning_curves.py", str(folder), "--output", str(picture)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{picture}\n", "")
    assert picture.stat().st_size > 10_000
