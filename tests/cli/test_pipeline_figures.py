"""figures/pipeline.py and figures/fig_s1.py on made-up results."""

import math
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.drawing import legible
from core.files import write_json
from dfc.measures.summary import Frame
from figures import fig_s1, pipeline
from figures.pipeline import Results, rolling
from sweeps.pipeline_results import write_lists, write_results

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["DFA", r"$\gamma=0.1$ (a b)", "x_y", "_z", "5$ ^^ 6$"]
KEYS = ["A_tildeI", "A_I", "A_instI", "A_PI"]


def frame(rows, columns, start=0.0):
    values = start + np.arange(rows * columns, dtype=float).reshape(rows, columns)
    return Frame(list(range(1, rows + 1)), list(range(columns)), values)


def summary(number):
    found = {"loss_test": np.array([3.0, 2.0, 1.0]) + number, "bp_angles": frame(8, 2, number), "log_interval": 5}
    # The first is DFA.
    if number:
        found |= {"condition_gn_angles_init": frame(3, 1), "gnt_angles": frame(8, 2), "max_eig_keys": KEYS}
        found |= {"max_eig_bcn_mean": np.arange(12.0), "max_eig_bcn_std": np.full(12, 0.5), "max_eig_mean": np.zeros(1)}
        found |= {
            "norm_r_mean": np.arange(9.0),
            "norm_r_keys": ["mean", "input", "layer 1"],
            "dist_to_NDI": np.zeros(1),
        }
        found |= {"ndi_angles": Frame([1, 2], [0], np.full((2, 1), np.nan)), "converged": np.array([7.0])}
    return found


@pytest.fixture
def folder(tmp_path):
    """A pipeline's folder with five experiments and a sixth that has no results."""
    summaries = {name: summary(number) for number, name in enumerate(NAMES)}
    keys = ["never", *dict.fromkeys(key for each in summaries.values() for key in each)]
    for name, each in summaries.items():
        write_results(tmp_path, name, each, keys)
    write_lists(tmp_path, summaries, keys)
    write_json(tmp_path / "pipeline.json", {"experiments": {name: {"log_interval": 5} for name in (*NAMES, "failed")}})
    return tmp_path


@pytest.fixture
def matplotlib():
    return pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install matplotlib")


def plain(values, window, t, forward):
    """Mean and sample deviation of one window, by the standard library."""
    rows = values[t : t + window] if forward else values[max(0, t - window + 1) : t + 1]
    known = [value for value in rows if not math.isnan(value)]
    if not known:
        return math.nan, math.nan
    return statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else 0.0


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("rows, window", [(1, 30), (5, 1), (40, 7), (12, 12), (12, 30)])
def test_rolling_is_a_plain_loop(rows, window, forward):
    random = np.random.default_rng(0)
    values = 50 + random.standard_normal((rows, 2))
    values[random.random(values.shape) < 0.3] = np.nan
    mean, std = rolling(values, window, forward)
    expected = np.array([[plain(column.tolist(), window, t, forward) for t in range(rows)] for column in values.T])
    np.testing.assert_allclose(mean, expected[..., 0].T, rtol=1e-14)
    np.testing.assert_allclose(std, expected[..., 1].T, rtol=1e-10, atol=1e-13)


def test_a_window_looks_ahead():
    mean, std = rolling(np.array([[1.0], [3.0], [8.0]]), 2)
    np.testing.assert_allclose(mean[:, 0], [2, 5.5, 8], rtol=1e-15)
    np.testing.assert_allclose(std[:, 0], [2**0.5, 12.5**0.5, 0], rtol=1e-15)


def test_what_is_not_finite_hurts_no_other_window():
    mean, std = rolling(np.array([[1.0], [np.inf], [3.0], [5.0]]), 2)
    np.testing.assert_array_equal(mean[:, 0], [np.inf, np.inf, 4, 5])
    np.testing.assert_allclose(std[2:, 0], [2**0.5, 0], rtol=1e-15)


def test_vectors_are_taken_apart_by_key(folder):
    keys, means, stds = Results.read(folder).vector("max_eig_bcn")
    assert keys == KEYS and list(means) == NAMES[1:] == list(stds)
    np.testing.assert_array_equal(means["x_y"], [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]])
    # It was off.
    assert Results.read(folder).vector("max_eig")[1:] == ({}, {})
    keys, means, stds = Results.read(folder).vector("norm_r")
    assert (keys, means["x_y"].shape, stds) == (["mean", "input", "layer 1"], (3, 3), {})


def test_every_result_with_numbers_has_a_picture(folder):
    assert [name for name, _ in pipeline.draw(Results.read(folder))] == [
        "loss_test", "bp_angles_subplots", "condition_gn_angles_init_subplots",
        "gnt_angles_subplots", "max_eig_bcn", "norm_r", "converged",
    ]  # fmt: skip
    assert [name for name, _ in fig_s1.draw(Results.read(folder))] == ["max_eig_bcn", "norm_r", "gnt_angles_subplots"]


def curve(axes, name):
    return next(line for line in axes.get_lines() if line.get_label() == name)


@pytest.mark.parametrize(
    "flags, expected",
    [
        ({"dataset": "student_teacher", "num_train": 72, "load_ST_dataset": False}, [0, 2, 3, 5, 6]),
        ({"dataset": "student_teacher", "num_train": 72, "load_ST_dataset": True}, [0, 2, 4, 6, 8]),
        ({"dataset": "mnist", "no_val_set": False, "train_samples": 150}, [0, 2, 4, 5, 7]),
        ({"dataset": "mnist", "no_val_set": False, "train_samples": 0}, [0, 2, 4, 6, 8]),
        ({"dataset": "mnist", "no_val_set": False, "train_samples": 0, "first_batches": 3}, [0, 2, 3, 5, 6]),
        ({}, [0, 2, 4, 6, 8]),
    ],
)
def test_events_are_drawn_at_their_batches(flags, expected):
    """Every second batch of passes of 3, of 5, or of nobody knows how many."""
    results = Results({}, {"a": {"log_interval": 2, "batch_size": 32, **flags}})
    assert results.iterations("a", np.arange(5)).tolist() == expected


@pytest.mark.parametrize("no_val_set, batches", [(False, 430), (True, 469)])
def test_passes_over_all_images_are_known(no_val_set, batches):
    for dataset in ("mnist", "mnist_autoencoder", "fashion_mnist"):
        flags = {
            "dataset": dataset,
            "no_val_set": no_val_set,
            "train_samples": 0,
            "batch_size": 128,
            "log_interval": 50,
        }
        per_pass = -(-batches // 50)
        assert Results({}, {"a": flags}).iterations("a", np.array([1, per_pass - 1, per_pass])).tolist() == [
            50,
            50 * (per_pass - 1),
            batches,
        ]


def test_frames_are_drawn_smoothed_against_batches(matplotlib, folder):
    figure = pipeline.draw_frames(Results.read(folder), "bp_angles", smooth=2)
    first, second = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["Layer 1", "Layer 2"]
    assert tuple(figure.get_size_inches()) == (12, 5)
    np.testing.assert_array_equal(curve(first, "x_y").get_xdata(), 5 * np.arange(8))
    # of the third experiment: column 2, 4, …, 16, each the mean with its successor
    np.testing.assert_allclose(curve(first, "x_y").get_ydata(), [3, 5, 7, 9, 11, 13, 15, 16], rtol=1e-15)
    assert first.get_xlim()[0] == 0 and first.get_xlabel() == second.get_xlabel() == "iteration"
    # The last band is that of two numbers, x and x + 2, of the last experiment.
    largest = (
        4 + (13 + 15) / 2 + 2**0.5
    )
    assert first.get_ylim() == second.get_ylim() == pytest.approx((-0.005, 1.02 * largest))


def test_arrays_are_drawn_over_epochs(matplotlib, folder):
    [axes] = pipeline.draw_arrays(Results.read(folder), "loss_test").axes
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == ("loss_test", "epoch", "loss")
    np.testing.assert_array_equal(curve(axes, "DFA").get_data(), [[0, 1, 2], [3, 2, 1]])


def test_vectors_are_drawn_key_by_key_against_batches(matplotlib, folder):
    figure = pipeline.draw_vector(Results.read(folder), "max_eig_bcn")
    assert len(figure.axes) == 4 and tuple(figure.get_size_inches()) == (13, 10)
    for number, axes in enumerate(figure.axes):
        np.testing.assert_array_equal(curve(axes, "x_y").get_data(), [[0, 5, 10], [number, 4 + number, 8 + number]])
        band = axes.collections[1].get_paths()[0].vertices
        assert band[:, 1].min() == number - 0.5 and band[:, 1].max() == 8.5 + number
        assert any(not np.any(line.get_ydata()) and line.get_linewidth() > 2 for line in axes.get_lines())


def test_labels_tell_what_is_compared(matplotlib):
    assert pipeline.label("gnt_angles") == r"$\Delta W_i \; \angle \; \Delta W_i^\mathrm{MN}$ [deg]"
    assert pipeline.label("ndi_angles_network").count(r"\theta") == 2
    assert "init" in pipeline.label("jac_pinv_angles_init") and "init" not in pipeline.label("jac_pinv_angles")
    assert [pipeline.label(key) for key in ("converged", "loss_train", "acc_val", "own")] == [
        "number of samples", "loss", "accuracy", "own"
    ]  # fmt: skip
    names = ("bp", "gn", "gnt", "ndi", "condition_gn", "jac_transpose", "jac_pinv", "nullspace_relative_norm")
    for label in (pipeline.label(f"{name}_angles{end}") for name in names for end in ("", "_init", "_network")):
        assert legible(label) == label and ("$" in label or label.endswith("_network"))


def test_every_curve_is_named_beside_the_panels(matplotlib, folder):
    results = Results.read(folder)
    for _, make in pipeline.draw(results):
        figure = make()
        figure.draw_without_rendering()
        [legend] = figure.legends
        names = [text.get_text() for text in legend.get_texts()]
        own = [line for axes in figure.axes for line in axes.get_lines() if not line.get_label().startswith("_child")]
        assert set(names) == {line.get_label() for line in own} and len(names) == len(set(names)) >= 4
        box = legend.get_window_extent()
        assert all(box.x0 >= axes.get_window_extent().x1 for axes in figure.axes)
        assert box.x1 <= figure.bbox.x1 and box.y0 >= 0
    assert names == [r"$\gamma=0.1$ (a b)", "x_y", " _z", r"5\$ ^^ 6\$"]


def test_many_curves_still_have_a_legend_within_the_picture(matplotlib):
    names = [f"number {k}" for k in range(40)]
    results = Results({"loss": {name: np.arange(3.0) for name in names}}, dict.fromkeys(names, 1))
    figure = pipeline.draw_arrays(results, "loss")
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.y0 >= 0 and figure.axes[0].get_window_extent().width > box.width / 2


def test_an_experiment_looks_the_same_in_every_picture_and_not_like_another():
    names = [f"number {k}" for k in range(36)]
    styles = [Results({}, dict.fromkeys(names, 1)).style(name, 9) for name in names]
    assert [style["color"] for style in styles[:9]] == list(pipeline.COLOURS)
    assert len({(style["color"], style["linestyle"], style["marker"]) for style in styles}) == 36
    assert len({(style["linestyle"], style["marker"]) for style in styles[:12]}) == 12


def test_the_script_writes_png_and_pdf(matplotlib, folder, tmp_path, capsys):
    settings = dict(matplotlib.rcParams)
    (folder / "result_dict" / "keys.txt").write_text("loss_test\nbp_angles\n")
    assert pipeline.main([str(folder), "--smooth=3"]) == 0
    names = ("loss_test", "bp_angles_subplots")
    files = [folder / "figures" / (name + ending) for name in names for ending in (".png", ".pdf")]
    assert capsys.readouterr().out.splitlines() == list(map(str, files))
    assert sorted((folder / "figures").iterdir()) == sorted(files)
    for path in files:
        assert path.read_bytes().startswith(b"\x89PNG" if path.suffix == ".png" else b"%PDF")
    assert dict(matplotlib.rcParams) == settings


def test_figure_s1_runs_as_a_file(matplotlib, folder):
    (folder / "result_dict" / "keys.txt").write_text("max_eig_keys\nmax_eig_bcn_mean\nmax_eig_bcn_std\n")
    words = [sys.executable, str(ROOT / "figures/fig_s1.py"), str(folder), f"--output={folder / 'a b'}"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in (folder / "a b").iterdir()} == {"max_eig_bcn.png", "max_eig_bcn.pdf"}


def test_figure_s1_smooths_less_and_has_its_own_labels(matplotlib, folder):
    figure = dict(fig_s1.draw(Results.read(folder)))["gnt_angles_subplots"]()
    axes = figure.axes[0]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("Angle GNT", "Iteration")
    # The means of five are taken from 0, 2, …, 14.
    np.testing.assert_allclose(
        curve(axes, "x_y").get_ydata(), [4, 6, 8, 10, 11, 12, 13, 14], rtol=1e-15
    )


def test_nothing_to_draw_is_said(tmp_path, capsys):
    write_lists(tmp_path, {}, [])
    write_json(tmp_path / "pipeline.json", {"experiments": {}})
    assert pipeline.main([str(tmp_path)]) == 0 and capsys.readouterr().out == "nothing to draw\n"
    assert not (tmp_path / "figures").exists()


def test_without_matplotlib_it_says_what_to_install(folder, capsys, monkeypatch):
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    assert pipeline.main([str(folder)]) == 2
    assert "drawing needs matplotlib: pip install matplotlib" in capsys.readouterr().err


@pytest.mark.parametrize("script", [pipeline, fig_s1])
@pytest.mark.parametrize(
    "argv, text",
    [
        ([], "required: FOLDER"),
        (["nowhere"], "nowhere is not a folder of run_pipeline.py: it has no pipeline.json"),
        (["nowhere", "--smooth=0"], "--smooth: 0 is out of range: must be in [1, inf)"),
        (["nowhere", "--smoth=3"], "there is no such option; did you mean --smooth?"),
    ],
)
def test_a_mistake_is_one_sentence(script, argv, text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        status = script.main(argv)
    except SystemExit as end:
        status = end.code
    out, err = capsys.readouterr()
    assert status == 2 and text in err and err.count("\n") == 1 and out == ""
    assert err.startswith(f"{Path(script.__file__).name}: ")


def test_a_folder_that_cannot_be_written_is_one_sentence(matplotlib, folder, capsys):
    (folder / "figures").write_text("")
    assert pipeline.main([str(folder)]) == 2
    assert capsys.readouterr().err == f"pipeline.py: cannot use the folder {folder / 'figures'}: File exists\n"


@pytest.mark.parametrize("script", [pipeline, fig_s1])
def test_help_tells_range_and_default(script, capsys):
    with pytest.raises(SystemExit) as end:
        script.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert end.value.code == 0 and "--output" in text
    assert f"[1, inf); default {script.SMOOTH}" in text and (pipeline.SMOOTH, fig_s1.SMOOTH) == (30, 5)
