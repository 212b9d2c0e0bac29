"""The toy experiments of figures 1D, 2 and 3 at small sizes: their data against the equations, their
files, their mistakes."""

import csv
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import run_toy_exp_fig1D as script_1d
import run_toy_exp_fig2 as script_2
import run_toy_exp_fig3 as script_3
from core.files import FileError, read_arrays
from core.locks import FolderLock
from core.options import UsageError
from dfc.measures.summary import Frame, read_summary
from figures import fig1d, fig2, fig3
from sweeps import script as sweep
from sweeps.pipeline_results import read_record, read_results
from sweeps.processes import Interrupted
from tests.runs_for_tests import tree

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("--num_train=72", "--num_test=8", "--num_val=8", "--batch_size=32", "--quiet")
SMALL_1D = (*SMALL, "--quick", "--epochs_fb=2")
SMALL_3 = (*SMALL, "--quick", "--epochs=3", "--epochs_fb=1", "--tmax_di=40", "--jobs=2")


def start(script, *argv, place=ROOT):
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    words = [sys.executable, str(ROOT / script), *map(str, argv)]
    return subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True, timeout=120)


def status(script, *argv):
    try:
        return script.main(list(map(str, argv)))
    except SystemExit as end:
        return end.code


def is_picture(path):
    return path.read_bytes()[:8] == {".png": b"\x89PNG\r\n\x1a\n", ".pdf": b"%PDF-1.4"}[path.suffix]


@pytest.fixture
def undrawn(monkeypatch):
    """Pictures take most of the time; here the numbers matter."""
    for script in (script_1d, script_3):
        monkeypatch.setattr(script, "draw_or_note", lambda *what: False)


# ---- figure 1D


@pytest.fixture(scope="module")
def controlled(tmp_path_factory):
    """(folder, what was printed) of a run of figure 1D."""
    place = tmp_path_factory.mktemp("fig1D")
    done = start("run_toy_exp_fig1D.py", *SMALL_1D, place=place)
    assert (done.returncode, done.stderr) == (0, "")
    return place / "logs/toy_experiments/fig1D_quick", done.stdout


def network_of(folder):
    """(weights, biases, feedback weights) that a run of figure 1D has left behind."""
    weights, biases = (
        [np.load(folder / f"pretraining/{l}L{name}.npy") for l in range(3)] for name in ("weights", "biases")
    )
    with np.load(folder / "trainedFB.npz") as archive:
        assert archive.files == ["Q0", "Q1", "Q2"]
        return weights, biases, [archive[name] for name in archive.files]


def training_samples():
    """Inputs and targets of the training samples, in the order of the pass after the two that learn Q."""
    from core.backend import select_backend
    from dfc.draws import Draws
    from dfc.tasks import load_task
    from main import parse

    options = script_1d.Options(quick=True)
    settings = parse(script_1d.command_line(options, [*SMALL, "--epochs_fb=2"]))
    draws = Draws(settings.random_seed, select_backend("numpy"))
    task = load_task(settings.task, draws.backend, draws.teacher)
    return task.train.x, task.train.y, draws.order(2, 72)


def feedforward(weights, biases, x):
    v1 = x @ weights[0].T + biases[0]
    v2 = np.tanh(v1) @ weights[1].T + biases[1]
    return v1, v2, np.tanh(v2) @ weights[2].T + biases[2]


def test_fig1d_simulates_the_controller_of_the_paper(controlled):
    """Euler's method for a delayed PI controller with instantaneous dendrites, written out for
    three layers (dfc.md B.4)."""
    (w, b, q), data = network_of(controlled[0]), read_arrays(controlled[0] / "fig1D.npz")
    x, y, order = training_samples()
    x, y = x[order[:3]], y[order[:3]]
    dt, tau, alpha, k_p, stepsize, batch = 0.005, 0.2, 0.0015, 1.0, 0.05, 32
    *v, output = feedforward(w, b, x)
    v.append(output)
    target = output - stepsize * 2 * (output - y) / batch
    u, integral = np.zeros_like(output), np.zeros_like(output)
    outputs, controls = [output.copy()], [u]
    for _ in range(1999):
        error = target - v[2]
        integral = integral + dt * (error - alpha * u)
        before, u = u, integral + k_p * error
        below = x
        for l in range(3):
            v[l] = v[l] + dt / tau * (below @ w[l].T + b[l] + before @ q[l].T - v[l])
            below = np.tanh(v[l])
        outputs.append(v[2].copy())
        controls.append(u)
    np.testing.assert_allclose(data["target"], target[:, 0], rtol=1e-12)
    np.testing.assert_allclose(data["output"], np.stack(outputs)[..., 0], rtol=1e-10)
    np.testing.assert_allclose(data["control"], np.stack(controls)[..., 0], rtol=1e-8, atol=1e-12)


def test_fig1d_drives_the_output_to_the_label_under_strong_feedback(controlled, tmp_path, undrawn):
    (tmp_path / "trainedFB.npz").write_bytes((controlled[0] / "trainedFB.npz").read_bytes())
    flags = ["--strong_feedback", "--include_non_converged_samples", "--tmax_di=50"]
    assert status(script_1d, *SMALL_1D, f"--out_dir={tmp_path}", *flags) == 0
    _, y, order = training_samples()
    np.testing.assert_array_equal(read_arrays(tmp_path / "fig1D.npz")["target"], y[order[:3], 0])


def test_fig1d_refuses_weights_of_another_run(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        script_1d.main([*SMALL_1D, f"--out_dir={tmp_path}", "--start_from=elsewhere"])
    assert stop.value.code == 2 and "--start_from" in capsys.readouterr().err and not any(tmp_path.iterdir())


def test_fig1d_ends_at_the_target(controlled):
    """At rest the output is r* - alpha u: the leak of the controller is all that keeps it from the target."""
    data = read_arrays(controlled[0] / "fig1D.npz")
    rest = data["target"] - data["alpha"] * data["control"][-1]
    assert (abs(data["output"][-1] - rest) < 0.02 * abs(data["output"][0] - data["target"])).all()
    assert list(data["samples"]) == [0, 1, 2] and len(data["output"]) == 2000


def test_fig1d_prints_condition_2_over_the_training_samples(controlled):
    folder, printed = controlled
    w, b, q = network_of(folder)
    x, _, _ = training_samples()
    stacked, ratios = np.concatenate(q), []
    for v1, v2 in zip(*feedforward(w, b, x)[:2], strict=True):
        j2 = w[2] * (1 - np.tanh(v2) ** 2)
        jacobian = np.concatenate([j2 @ w[1] * (1 - np.tanh(v1) ** 2), j2, np.eye(1)], axis=1)
        ratios.append(np.linalg.norm(np.linalg.pinv(jacobian) @ jacobian @ stacked) / np.linalg.norm(stacked))
    mean = np.mean([np.mean(ratios[start : start + 32]) for start in (0, 32, 64)])
    assert f"gn_condition_init {mean:.6f}" in printed
    assert read_arrays(folder / "fig1D.npz")["gn_condition_init"] == pytest.approx(mean, rel=1e-10)


def test_fig1d_draws_two_pictures_of_each_sample(controlled):
    for stem in ("PI_control", "PI_control_signal"):
        assert all(is_picture(controlled[0] / f"{stem}{n}{kind}") for n in range(3) for kind in (".png", ".pdf"))


def test_fig1d_shows_the_saved_numbers(controlled):
    data = read_arrays(controlled[0] / "fig1D.npz")
    [axes] = fig1d.draw_output(data, 1).axes
    curve, target = axes.lines
    np.testing.assert_array_equal(curve.get_ydata(), data["output"][:, 1])
    assert list(target.get_xdata()) == [0, 2000] and set(target.get_ydata()) == {data["target"][1]}
    left, right = fig1d.draw_signal(data, 2).axes
    np.testing.assert_array_equal(left.lines[0].get_ydata(), data["output"][1:, 2])
    np.testing.assert_array_equal(
        right.lines[0].get_xydata(), np.stack([np.arange(1, 2000), data["control"][1:, 2]], axis=1)
    )


def test_fig1d_uses_feedback_weights_that_are_there(controlled, tmp_path, capsys, undrawn):
    """Nobody learns, and twice the feedback needs about half the control; another controller may
    be tried on the same Q."""
    _, _, q = network_of(controlled[0])
    np.savez(tmp_path / "trainedFB.npz", **{f"Q{l}": 2.0 * each for l, each in enumerate(q)})
    assert status(script_1d, *SMALL_1D, f"--out_dir={tmp_path}", "--tmax_di=2500") == 0
    assert not (tmp_path / "pretraining").exists() and "epoch" not in capsys.readouterr().out
    before, after = (read_arrays(folder / "fig1D.npz")["control"][-1] for folder in (controlled[0], tmp_path))
    np.testing.assert_allclose(after, before / 2, rtol=0.02)


def test_fig1d_learns_again_only_if_asked(controlled, capsys, undrawn):
    folder = controlled[0]
    learned, made = (folder / "trainedFB.npz").read_bytes(), (folder / "pretraining/DONE").stat().st_mtime_ns
    assert status(script_1d, *SMALL_1D, f"--out_dir={folder}") == 0
    assert (folder / "pretraining/DONE").stat().st_mtime_ns == made
    assert status(script_1d, *SMALL_1D, f"--out_dir={folder}", "--seed=7") == 2
    assert "was learned with random_seed = 42, not 7" in capsys.readouterr().err
    assert status(script_1d, *SMALL_1D, f"--out_dir={folder}", "--low_pass_filter_u") == 2
    assert "was learned with low_pass_filter_u = False, not True" in capsys.readouterr().err
    assert status(script_1d, *SMALL_1D, f"--out_dir={folder}", "--save_lu_loss", "--use_bp_updates") == 0
    assert (folder / "trainedFB.npz").read_bytes() == learned
    assert status(script_1d, *SMALL_1D, f"--out_dir={folder}", "--overwrite") == 0
    assert (folder / "pretraining/DONE").stat().st_mtime_ns > made
    # Both have the same seed.
    assert (folder / "trainedFB.npz").read_bytes() == learned


def test_fig1d_keeps_its_weights_if_it_may_not_learn_again(controlled, capsys):
    folder = controlled[0]
    learned, lock = (folder / "trainedFB.npz").read_bytes(), FolderLock(folder / "pretraining")
    lock.take()
    assert status(script_1d, *SMALL_1D, f"--out_dir={folder}", "--overwrite") == 2
    assert "in use by another process" in capsys.readouterr().err
    lock.close()
    assert (folder / "trainedFB.npz").read_bytes() == learned and (folder / "pretraining/DONE").exists()


def good_feedback():
    return {"Q0": np.ones((10, 1)), "Q1": np.ones((10, 1)), "Q2": np.ones((1, 1))}


@pytest.mark.parametrize(
    "change, words",
    [
        ({"Q2": None}, "holds Q0, Q1, where Q0, Q1, Q2 are needed"),
        ({"Q3": np.ones((1, 1))}, "holds Q0, Q1, Q2, Q3"),
        ({"Q1": np.ones((10, 5))}, "Q1 has shape (10, 5), where (10, 1) is needed"),
        ({"Q0": np.full((10, 1), np.nan)}, "Q0 holds values that are not finite numbers"),
        ({"Q0": np.full((10, 1), "a")}, "Q0 holds values that are not finite numbers"),
        # Objects would have to be unpickled.
        ({"Q0": np.full((10, 1), None)}, "is damaged or unreadable"),
    ],
)
def test_fig1d_refuses_other_feedback_weights(tmp_path, capsys, change, words):
    arrays = {name: each for name, each in {**good_feedback(), **change}.items() if each is not None}
    np.savez(tmp_path / "trainedFB.npz", **arrays)
    assert status(script_1d, *SMALL_1D, f"--out_dir={tmp_path}") == 2
    err = capsys.readouterr().err
    assert words in err and str(tmp_path / "trainedFB.npz") in err and err.count("\n") == 1
    assert not (tmp_path / "fig1D.npz").exists()


def test_fig1d_names_a_truncated_file(tmp_path, capsys):
    path = tmp_path / "trainedFB.npz"
    np.savez(path, **good_feedback())
    path.write_bytes(path.read_bytes()[:200])
    assert status(script_1d, *SMALL_1D, f"--out_dir={tmp_path}") == 2
    assert f"{path} is damaged or unreadable" in capsys.readouterr().err


# ---- figure 2


@pytest.fixture(scope="module")
def matrices(tmp_path_factory):
    """(folder, data) of a run of figure 2."""
    place = tmp_path_factory.mktemp("fig2")
    done = start("run_toy_exp_fig2.py", "--quick", "--count=400", place=place)
    assert (done.returncode, done.stderr) == (0, "")
    folder = place / "logs/toy_experiments/fig2_quick"
    assert sorted(path.name for path in folder.iterdir()) == [
        "fig2.npz",
        "pca_fitted_total.pdf",
        "pca_fitted_total.png",
    ]
    return folder, read_arrays(folder / "fig2.npz")


def test_fig2_feedback_is_stable_and_in_the_row_space(matrices):
    jacobian, feedback = matrices[1]["jacobian"], matrices[1]["feedback"]
    assert jacobian.shape == (2, 4) and feedback.shape == (400, 4, 2) and feedback.dtype == np.float32
    # The output is linear.
    np.testing.assert_array_equal(jacobian[:, 2:], np.eye(2))
    assert np.linalg.eigvals(jacobian @ feedback).real.min() >= 0.0
    projected = np.linalg.pinv(jacobian) @ jacobian @ feedback
    np.testing.assert_allclose(projected, feedback, atol=1e-5)


def test_fig2_jacobian_is_how_the_output_moves():
    """Central differences of r = W_2 tanh(v_1) + v, where v_1 and the output's v are moved."""
    from core.streams import PUBLISHED_INITIALISERS, stream

    w1, w2 = (
        PUBLISHED_INITIALISERS["xavier_normal"](stream(42, "init", l), *shape)
        for l, shape in enumerate([(2, 5), (2, 2)])
    )
    v = np.concatenate([w1 @ stream(42, "data").standard_normal((1, 5), dtype=np.float32)[0], [0.0, 0.0]])

    def output(v):
        return w2 @ np.tanh(v[:2]) + v[2:]

    moved = np.stack([(output(v + h) - output(v - h)) / 2e-5 for h in 1e-5 * np.eye(4)], axis=1)
    np.testing.assert_allclose(script_2.small_jacobian(42), moved, atol=1e-6)


class Prescribed:
    """A generator that returns the given matrices one after the other."""

    def __init__(self, matrices):
        self.waiting = list(matrices)

    def standard_normal(self, shape, dtype):
        taken, self.waiting = self.waiting[: shape[0]], self.waiting[shape[0] :]
        return np.array(taken, dtype=dtype)


def test_fig2_draws_again_what_is_unstable():
    """With J = [I 0] the eigenvalues of J Q are those of P; a rotation by more than a right angle is unstable too."""
    jacobian, one = np.eye(2, 4), np.eye(2)
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    saddle = np.diag([3.0, -1e-3])
    drawn = [-one, one, saddle, turn, 0.1 * one + turn, -0.1 * one + turn, 2 * one, 4 * one]
    found = script_2.stable_feedback(jacobian, 4, Prescribed(drawn))
    np.testing.assert_array_equal(found, [jacobian.T @ p for p in (one, turn, 0.1 * one + turn, 2 * one)])


def test_fig2_pseudo_inverses(matrices):
    data = matrices[1]
    jacobian, gamma = data["jacobian"].astype(float), data["gamma"]
    np.testing.assert_allclose(gamma, [10 ** (-5 + 7 * k / 99) for k in range(100)], rtol=1e-12)
    systems = jacobian @ jacobian.T + gamma[:, None, None] * np.eye(2)
    np.testing.assert_allclose(data["damped"] @ systems, np.broadcast_to(jacobian.T, (100, 4, 2)), atol=1e-5)
    np.testing.assert_allclose(jacobian @ data["pseudo_inverse"][0], np.eye(2), atol=1e-6)
    back = data["pseudo_inverse"][0] @ jacobian
    np.testing.assert_allclose(back, back.T, atol=1e-6)
    np.testing.assert_array_equal(data["transpose"][0], data["jacobian"].T)


def test_fig2_places_are_principal_components(matrices):
    """Against the eigenvectors of the covariance of all 502 rows: uncorrelated, with the
    largest variances there are."""
    data, names = matrices[1], ("feedback", "damped", "pseudo_inverse", "transpose")
    rows = np.concatenate([data[name].reshape(-1, 8) for name in names])
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    places = np.concatenate([data[f"{name}_places"] for name in names])
    variances = np.linalg.eigvalsh(np.cov(rows.T.astype(float)))[::-1]
    np.testing.assert_allclose(np.cov(places.T.astype(float)), np.diag(variances[:2]), atol=1e-5)
    np.testing.assert_allclose(data["variance_shares"], variances[:2] / variances.sum(), rtol=1e-4)
    np.testing.assert_allclose(places.mean(axis=0), 0, atol=1e-6)
    for direction, column in zip(data["directions"], places.T, strict=True):
        np.testing.assert_allclose((rows - rows.mean(axis=0)) @ direction, column, atol=1e-5)
        assert direction[abs(direction).argmax()] > 0


def test_fig2_more_matrices_begin_with_the_same_ones(tmp_path):
    few, many = (script_2.experiment(42, count)["feedback"] for count in (7, 30))
    np.testing.assert_array_equal(many[:7], few)
    assert not np.array_equal(script_2.experiment(43, 7)["feedback"], few)


def test_fig2_density_is_a_gaussian_around_each_point():
    """By hand: (1 / n) sum_i N(y; x_i, n^(-1/3) C) in the plane."""
    points = np.random.default_rng(1).standard_normal((6, 2)) @ [[1.0, 0.5], [0.0, 2.0]]
    y = np.array([0.3, -0.7])
    covariance = np.cov(points.T) * 6 ** (-1 / 3)
    by_hand = sum(np.exp(-0.5 * (y - x) @ np.linalg.inv(covariance) @ (y - x)) for x in points)
    by_hand /= 6 * 2 * np.pi * np.linalg.det(covariance) ** 0.5
    np.testing.assert_allclose(fig2.density(points, y[None]), [by_hand], rtol=1e-12)


def test_fig2_density_integrates_to_one(matrices):
    x, y, height = fig2.grid(matrices[1]["feedback_places"].astype(float))
    assert height.sum() * (x[1] - x[0]) * (y[1] - y[0]) == pytest.approx(1, abs=2e-3)


def test_fig2_without_scipy_says_so(matrices, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(UsageError, match="figure 2 needs scipy: pip install scipy"):
        fig2.draw(matrices[1])


def test_fig2_names_all_it_shows(matrices):
    figure = fig2.draw(matrices[1])
    [legend] = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names[0] == "$Q$" and names[1].startswith("$J^T(JJ^T") and names[2:] == [r"$J^\dagger$", "$J^T$"]
    axes, enlarged, bar = figure.axes
    assert (
        list(axes.get_xticks()) == list(axes.get_yticks()) == [-0.5, 0, 0.5]
        and bar.get_ylabel() == "probability density"
    )
    (left, right), (low, high) = enlarged.get_xlim(), enlarged.get_ylim()
    for name in ("damped", "pseudo_inverse", "transpose"):
        x, y = matrices[1][f"{name}_places"].T
        assert left < x.min() and x.max() < right and low < y.min() and y.max() < high


@pytest.mark.parametrize("count", [1, 2, 3])
def test_fig2_of_few_matrices(tmp_path, count):
    assert status(script_2, f"--count={count}", f"--out_dir={tmp_path}") == 0 and is_picture(
        tmp_path / "pca_fitted_total.png"
    )


# ---- figure 3


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The folder of a run of figure 3."""
    folder = tmp_path_factory.mktemp("fig3")
    done = start("run_toy_exp_fig3.py", *SMALL_3, f"--out_dir={folder}")
    assert (done.returncode, done.stderr) == (0, "")
    pictures = [f"{name}/figS1" for name in ("fig3_dfc", "fig3_dfc_ss", "fig3_dfc_ssa")]
    assert done.stdout.split() == [str(folder / name) for name in ("fig3.csv", "fig3.png", "fig3.pdf", *pictures)]
    return folder


ENTRIES = {
    (method, feedback): (folder, entry)
    for method, folder in (("DFC", "fig3_dfc"), ("DFC-SS", "fig3_dfc_ss"), ("DFC-SSA", "fig3_dfc_ssa"))
    for feedback, entry in (("trained", "TrainFB_RandomInit_Pretrain"), ("fixed", "FreezeFB_WeightProduct"))
} | {("DFA", "random"): ("fig3_dfa", "DFA")}


def test_fig3_curves_are_those_of_the_summaries(compared):
    runs = fig3.read(compared / "fig3.csv")
    assert list(runs) == list(ENTRIES)
    for (method, feedback), (folder, entry) in ENTRIES.items():
        run, summary = runs[method, feedback], read_summary(compared / folder / entry)
        np.testing.assert_array_equal(run["epoch"], [0, 1, 2])
        np.testing.assert_array_equal(run["mn_angle_deg"], summary["gnt_angles_network"].values[:, 0])
        np.testing.assert_array_equal(run["gn_angle_deg"], summary["gn_angles_network"].values[:, 0])
        others = ("condition_2", "condition_1", "ssa_angle_deg", "lambda_max_A_PI", "lambda_max_A_instI")
        if method == "DFA":
            assert all(np.isnan(run[name]).all() for name in others)
            continue
        eigenvalues = summary["max_eig_mean" if method == "DFC-SSA" else "max_eig_bcn_mean"].reshape(3, 4)
        expected = (
            summary["condition_gn_angles"].values[:, 0],
            summary["dev_r_mean"],
            summary["ndi_angles_network"].values[:, 0],
            eigenvalues[:, summary["max_eig_keys"].index("A_PI")],
            eigenvalues[:, summary["max_eig_keys"].index("A_instI")],
        )
        for name, values in zip(others, expected, strict=True):
            np.testing.assert_array_equal(run[name], values)
        assert (summary["avg_time_per_epoch"] > 0) and len(summary["loss_test"]) == 3


def test_fig3_theory_holds(compared):
    """DFC-SSA compared with itself differs by nothing; condition 2 is a share; a product of weights is
    close to the row space."""
    runs = fig3.read(compared / "fig3.csv")
    for (method, feedback), run in runs.items():
        if method == "DFC-SSA":
            assert run["ssa_angle_deg"].max() < 1e-3
        if method != "DFA":
            assert run["condition_2"].min() > 0 and run["condition_2"].max() <= 1
            assert run["condition_2"].min() > 0.9 or feedback == "trained"
            # The system is stable.
            assert (run["lambda_max_A_PI"] < 0).all()


def test_figure_s1_is_drawn_from_the_runs_of_figure_3(compared):
    """Its data are those of a pipeline, which run_pipeline.py and figures/fig_s1.py read."""
    drawn = {"gnt_angles_subplots", "gn_angles_subplots", "condition_gn_angles_subplots", "norm_r"}
    drawn.add("nullspace_relative_norm_angles_subplots")
    for method in ("fig3_dfc", "fig3_dfc_ss", "fig3_dfc_ssa"):
        folder, eigenvalues = compared / method, {"max_eig" if method == "fig3_dfc_ssa" else "max_eig_bcn"}
        pictures = list((folder / "figS1").iterdir())
        assert {path.name for path in pictures} == {
            name + end for name in drawn | eigenvalues for end in (".png", ".pdf")
        }
        assert all(map(is_picture, pictures))
        assert list(read_record(folder)) == ["FreezeFB_WeightProduct", "TrainFB_RandomInit_Pretrain"]
        for key, results in read_results(folder).items():
            for entry, value in results.items():
                np.testing.assert_array_equal(
                    getattr(value, "values", value), as_array(read_summary(folder / entry)[key])
                )
        with open(folder / "results.csv", newline="") as file:
            assert [row[0] for row in csv.reader(file)] == ["", *read_record(folder)]


def test_fig3_starts_again_without_the_results_of_before(compared, tmp_path, monkeypatch):
    folder = tmp_path / "again"
    shutil.copytree(compared, folder)
    before = tree(folder)

    def run_all(*what):
        assert tree(folder) == before
        what[-1]()
        for method in ("fig3_dfc", "fig3_dfc_ss", "fig3_dfc_ssa"):
            assert read_results(folder / method) == {}
            # One line is the header.
            assert len((folder / method / "results.csv").read_text().splitlines()) == 1
        raise Interrupted(signal.SIGINT)

    monkeypatch.setattr(sweep, "run_all", run_all)
    assert status(script_3, *SMALL_3, f"--out_dir={folder}", "--overwrite", "--seed=7") == 130


def as_array(value):
    return getattr(value, "values", np.asarray(value))


def test_fig3_does_nothing_twice(compared, capsys, undrawn):
    table = (compared / "fig3.csv").read_bytes()
    times = {path: path.stat().st_mtime_ns for path in compared.glob("*/*/DONE")}
    assert len(times) == 7
    lost = compared / "fig3_dfa/DFA"
    for path in lost.iterdir():
        path.unlink()
    assert status(script_3, *SMALL_3, f"--out_dir={compared}") == 0 and capsys.readouterr().err == ""
    again = {path for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert again == {lost / "DONE"} and (compared / "fig3.csv").read_bytes() == table


def test_fig3_refuses_runs_of_other_settings(compared, capsys):
    assert status(script_3, *SMALL_3, f"--out_dir={compared}", "--seed=7") == 2
    err = capsys.readouterr().err
    assert "was made with random_seed = 42, not 7; give another --out_dir, or --overwrite to start again" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "name, method",
    [
        ("fig3_dfc", "DFC"),
        ("fig3_DFC_SS__2021_10_01__12_00_00", "DFC-SS"),
        ("fig3_dfc_ssa", "DFC-SSA"),
        ("fig3_dfa", "DFA"),
        ("dfc_noisy", None),
        ("dfc_ss_noise", "DFC-SS"),
        ("pictures", None),
    ],
)
def test_fig3_knows_folders_by_their_names(name, method):
    assert script_3.method_of(name) == method


def test_fig3_takes_the_last_folder_of_a_method(tmp_path):
    assert script_3.home(tmp_path, "DFC-SS") == tmp_path / "fig3_dfc_ss"
    for name in ("fig3_dfc", "fig3_dfc__2024_01_01__00_00_00", "fig3_dfc__2024_01_02__00_00_00", "fig3_dfc_ss"):
        (tmp_path / name).mkdir()
    (tmp_path / "fig3_dfc_zzz").touch()
    assert script_3.home(tmp_path, "DFC").name == "fig3_dfc__2024_01_02__00_00_00"
    assert script_3.home(tmp_path, "DFC-SS").name == "fig3_dfc_ss"


def test_fig3_quick_is_a_short_run_of_the_same():
    quick, whole = (script_3.Experiment(script_3.Options(quick=each), []) for each in (True, False))
    assert quick.folder == Path("logs/toy_experiments/fig3_quick") and whole.folder == Path("logs/toy_experiments/fig3")
    assert [run.name for run in quick.runs] == [run.name for run in whole.runs]
    assert {run.epochs for run in quick.runs} == {8} and {run.epochs for run in whole.runs} == {300}
    for short, run in zip(quick.runs, whole.runs, strict=True):
        differ = {flag for flag, value in run.settings.items() if short.settings[flag] != value}
        assert (
            {"num_train", "num_test", "num_val"}
            <= differ
            <= {"num_train", "num_test", "num_val", "tmax_di", "epochs_fb"}
        )
        assert ("epochs_fb" in differ) == ("trained" in run.name)


@pytest.mark.parametrize(
    "flags, epochs", [((), ("0.0", "0.5", "1.0")), (("--first_batches=3",), ("0.0", "1.0", "2.0"))]
)
def test_fig3_puts_events_at_their_epochs(flags, epochs):
    """Two logged batches an epoch: 5 batches, of which numbers 0 and 3 are logged; of 3 batches number 0 alone."""
    argv = ["--num_train=72", "--batch_size=16", "--log_interval=3", *flags]
    experiment = script_3.Experiment(script_3.Options(out_dir="nowhere"), argv)
    run = experiment.runs[-1]
    angles = Frame([1, 2, 3], [0], np.array([[4.0], [0.1 + 0.2], [np.nan]]))
    experiment.summaries[run.name] = {"gn_angles_network": angles}
    header, *rows = csv.reader(experiment.table().splitlines())
    assert tuple(header) == fig3.COLUMNS
    by_column = dict(zip(header, zip(*rows, strict=True), strict=True))
    assert by_column["epoch"] == epochs and set(by_column["method"]) == {"DFA"}
    assert by_column["gn_angle_deg"] == ("4.0", "0.30000000000000004", "nan") and set(by_column["condition_1"]) == {""}


def made_up(length=70):
    """Runs whose every curve is a ramp from 0 to `length` - 1."""
    ramp = np.arange(float(length))
    series = dict.fromkeys(fig3.COLUMNS[3:], ramp) | {"epoch": ramp}
    dfa = {name: np.full(length, np.nan) for name in series} | {
        "epoch": ramp,
        "mn_angle_deg": ramp,
        "gn_angle_deg": ramp,
    }
    return {key: dfa if key[0] == "DFA" else series for key in reversed(ENTRIES)}


def test_fig3_smooths_over_what_came_before():
    """Of the ramp 0, 1, 2, … the mean of 30 numbers up to t is t - 14.5, their variance 30 * 31 / 12."""
    figure = fig3.draw(made_up())
    axes = figure.axes[0]
    line = axes.lines[0]
    np.testing.assert_allclose(line.get_ydata()[29:], np.arange(29, 70) - 14.5, rtol=1e-12)
    np.testing.assert_allclose(line.get_ydata()[:3], [0, 0.5, 1])
    band = axes.collections[0].get_paths()[0].vertices
    upper = band[band[:, 0] == 50][:, 1].max()
    assert upper == pytest.approx(35.5 + (30 * 31 / 12) ** 0.5, rel=1e-12)
    first = band[band[:, 0] == 0][:, 1]
    # One number alone does not deviate.
    np.testing.assert_allclose(first, 0, atol=1e-12)


def test_fig3_names_its_curves_in_the_published_order():
    figure = fig3.draw(made_up())
    [legend] = figure.legends
    names = ["DFC", "DFC-SS", "DFC-SSA", "DFA", "DFC (fixed)", "DFC-SS (fixed)", "DFC-SSA (fixed)"]
    assert [text.get_text() for text in legend.get_texts()] == names
    assert [len(axes.lines) for axes in figure.axes] == [6, 6, 6, 7, 7, 6]
    styles = {(line.get_color(), line.get_linestyle()) for line in figure.axes[3].lines}
    assert len(styles) == 7 and all(axes.get_xlim() == (0, 70) for axes in figure.axes)


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "needs rows with method, feedback, epoch"),
        ("method,epoch\nDFC,1\n", "needs rows with"),
        (
            ",".join(fig3.COLUMNS) + "\nDFC,trained,0,1,1,1,1,1,1,1\nDFC,trained,1,x,1,1,1,1,1,1\n",
            "'x' in line 3 is not a number",
        ),
        (",".join(fig3.COLUMNS) + "\nDFC,trained,0,1\n", "None in line 2 is not a number"),
        (",".join(fig3.COLUMNS) + "\nBP,trained,0,1,1,1,1,1,1,1\n", "line 2 names no method"),
    ],
)
def test_fig3_refuses_damaged_data(tmp_path, capsys, text, words):
    (tmp_path / "fig3.csv").write_text(text)
    with pytest.raises(FileError, match=r"fig3\.csv"):
        fig3.read(tmp_path / "fig3.csv")
    assert status(fig3, tmp_path / "fig3.csv") == 2
    assert words in capsys.readouterr().err and not (tmp_path / "fig3.png").exists()


# ---- drawing again, mistakes, help


@pytest.mark.parametrize("module, experiment", [(fig1d, "controlled"), (fig2, "matrices"), (fig3, "compared")])
def test_figures_are_drawn_again_from_the_data(module, experiment, request, tmp_path, capsys):
    made = request.getfixturevalue(experiment)
    folder = made if experiment == "compared" else made[0]
    [data] = [path for path in (folder / "fig1D.npz", folder / "fig2.npz", folder / "fig3.csv") if path.exists()]
    outputs = [f"--output={tmp_path / name}" for name in (["a.png"] if module is fig1d else ["a.png", "b.pdf"])]
    assert status(module, data, *outputs) == 0
    written = list(map(Path, capsys.readouterr().out.split()))
    assert len(written) == (6 if module is fig1d else 2) and all(map(is_picture, written))
    assert {path.parent for path in written} == {tmp_path}
    assert status(module, data, f"--output={tmp_path / 'a.jpg'}") == 2
    assert "--output" in capsys.readouterr().err


def test_a_figure_is_a_command_of_its_own(matrices, tmp_path):
    done = start("figures/fig2.py", matrices[0] / "fig2.npz", f"--output={tmp_path / 'again.png'}", place=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "again.png").read_bytes() == (matrices[0] / "pca_fitted_total.png").read_bytes()


def test_figures_refuse_data_of_another_one(matrices, controlled, capsys):
    for module, data in (
        (fig1d, matrices[0] / "fig2.npz"),
        (fig2, controlled[0] / "fig1D.npz"),
        (fig2, Path("nowhere.npz")),
    ):
        assert status(module, data) == 2
        err = capsys.readouterr().err
        assert str(data) in err and err.count("\n") == 1


def test_without_matplotlib_the_data_are_there(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert status(script_2, "--count=5", f"--out_dir={tmp_path}") == 0
    err = capsys.readouterr().err
    assert "drawing needs matplotlib: pip install matplotlib" in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["fig2.npz"]


@pytest.mark.parametrize(
    "script, argv, words",
    [
        (script_1d, ["--size_output=5"], "--size_output=5: must be 1"),
        (script_1d, ["--network_type=BP"], "--network_type=BP: must be DFC"),
        (script_1d, ["--config_module=configs.nothing"], "--config_module=configs.nothing: there is no such module"),
        (script_1d, ["--seed=-1"], "-1 is out of range: must be in [0, inf)"),
        (script_1d, ["--load"], "--load: the feedback weights in --out_dir are used"),
        (script_1d, ["--tmx_di=3"], "--tmx_di=3: there is no such option; did you mean --tmax_di?"),
        (script_2, ["--count=0"], "0 is out of range: must be in [1, 1000000]"),
        (script_2, ["--seed=x"], "'x' is not a whole number"),
        (script_2, ["--cout=3"], "there is no such option; did you mean --count?"),
        (script_3, ["--jobs=0"], "0 is out of range: must be in [1, 64]"),
        (script_3, ["--epochs=-1"], "-1 is out of range"),
        (script_3, ["--load_or_start"], "--load_or_start: interrupted runs are continued anyway"),
        (script_3, ["--dataset=nothing"], "'nothing' is not one of"),
    ],
)
def test_mistakes_are_one_sentence(script, argv, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert status(script, *argv) == 2
    err = capsys.readouterr().err
    assert words in err and err.startswith(f"{script.PROG}: ") and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("script", [script_1d, script_2, script_3])
def test_a_folder_that_cannot_be_made_is_named(script, capsys, tmp_path):
    (tmp_path / "file").touch()
    assert status(script, f"--out_dir={tmp_path / 'file'}", *(() if script is script_2 else SMALL)) == 2
    err = capsys.readouterr().err
    assert str(tmp_path / "file") in err and err.count("\n") == 1


@pytest.mark.parametrize("module", [script_1d, script_2, script_3, fig1d, fig2, fig3])
def test_help_tells_every_option(module, capsys):
    assert status(module, "--help") == 0
    out = capsys.readouterr().out
    options = ("--output",) if module in (fig1d, fig2, fig3) else ("--out_dir", "--seed", "--quick", "--quiet")
    assert all(option in out for option in options)
