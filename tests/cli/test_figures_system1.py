"""run.py --alignment and the pictures of alignment and precision, on made-up images and made-up runs."""

import json
import re
import subprocess
import sys
from decimal import Context, Decimal, getcontext, localcontext
from pathlib import Path

import numpy as np
import pytest

import run
from core.backend import select_backend
from core.files import read_arrays
from core.streams import haar_orthogonal
from figures import alignment, alignment_depth, precision, untrained
from figures.runs import read_runs
from gait.alignment import alignment as angles_between
from gait.alignment import batch_update
from inv_net import SquareInvNet
from rules import RULES
from tests.faults.tiny_runs import complaint, in_process, only, read_metrics, results
from utils import LEAKY_RELU

ROOT = Path(__file__).resolve().parents[2]
GAIT = [
    "--algorithm=GAIT",
    "--orthogonal_init",
    "--orthogonal_reg=0.1",
    "--nb_layers=2",
    "--learning_rate=0.01",
    "--batch_size=30",
]


# ---- run.py --alignment


@pytest.fixture
def call(tmp_path, monkeypatch):
    return in_process(tmp_path, monkeypatch)


def test_measuring_changes_no_number_of_the_run(call, tmp_path):
    found = []
    for more in ([], ["--alignment"]):
        assert call(*GAIT, "--nb_epochs=2", *more, f"--results_dir={tmp_path / str(len(found))}") == 0
        found.append(results(only(tmp_path / str(len(found)))))
    plain, measured = ({name: content for name, content in each.items() if name != "metrics.csv"} for each in found)
    assert plain == measured and len(plain) == 4 + 2 * 3
    columns = [each["metrics.csv"].decode().splitlines()[0].split(",") for each in found]
    assert columns[1] == [*columns[0], "bp_angle_0", "bp_angle_1", "bp_angle_2", "bp_angle"]


def test_angles_follow_the_weights(call, tmp_path):
    """Orthogonal weights: GAIT is BP, unless a unit of the first batch stands within gamma of its kink.  After training
    without a regulariser they are not orthogonal; the last layer's rule is BP's at all times."""
    options = [word for word in GAIT if "reg" not in word]
    assert call(*options, "--nb_epochs=3", "--alignment", "--gamma=1e-9") == 0
    series = read_metrics(only(tmp_path / "results"))
    assert max(series[f"bp_angle_{l}"][0] for l in range(3)) < 1e-9
    assert series["bp_angle_0"][-1] > 0.1 and series["bp_angle"][-1] > 0.1
    assert max(series["bp_angle_2"]) < 1e-9


def test_backpropagation_is_at_no_angle_to_itself(call, tmp_path):
    assert call("--nb_epochs=1", "--alignment") == 0
    series = read_metrics(only(tmp_path / "results"))
    assert series["bp_angle_0"] == series["bp_angle_1"] == series["bp_angle"] == [0.0, 0.0]


def test_a_measured_run_goes_on_and_shares_no_folder_with_a_plain_one(call, tmp_path, capsys):
    assert call(*GAIT, "--nb_epochs=1") == 0
    capsys.readouterr()
    assert call(*GAIT, "--nb_epochs=2", "--alignment", "--load") == 2
    assert "there is no run to load" in complaint(capsys.readouterr().err)
    assert call(*GAIT, "--nb_epochs=1", "--alignment") == 0
    assert call(*GAIT, "--nb_epochs=2", "--alignment", "--load") == 0
    assert call(*GAIT, "--nb_epochs=2", "--alignment", f"--results_dir={tmp_path / 'at_once'}") == 0
    [resumed] = (tmp_path / "results").glob("*_alignment")
    assert results(resumed) == results(only(tmp_path / "at_once"))


# ---- figures/alignment.py


def make_run(folder, rule, layers, epochs=3, seed=1, measured=True, columns=None):
    """A run whose layer l stands at 10 (l + seed) degrees after every epoch, and the network at 5."""
    folder.mkdir()
    settings = {"algorithm": rule, "dataset": "MNIST", "seed": seed, "nb_layers": layers - 1, "alignment": measured}
    (folder / "config.json").write_text(
        json.dumps({"options": {"train_samples": 600, "batch_size": 60}, "settings": settings})
    )
    names = columns or [*(f"bp_angle_{l}" for l in range(layers)), "bp_angle"]
    angles = [*(str(10.0 * (l + seed)) for l in range(layers)), "5.0"][: len(names)]
    rows = [",".join([str(epoch), "0", *angles, "1.5"]) for epoch in range(epochs)]
    (folder / "metrics.csv").write_text("\n".join([",".join(["epoch", "batch", *names, "seconds"]), *rows]) + "\n")
    (folder / "DONE").write_text(json.dumps({"outcome": "finished", "epochs": epochs - 1, "test_acc": 0.5}))
    return str(folder)


def test_every_setting_is_a_curve_of_all_its_layers_averaged_over_seeds(tmp_path):
    folders = [
        make_run(tmp_path / "g", "GAIT", 12),
        make_run(tmp_path / "t1", "TP", 3),
        make_run(tmp_path / "t2", "TP", 3, seed=2),
    ]
    curves, notes = alignment.load(read_runs(folders))
    assert ([curve.name for curve in curves], notes) == (["GAIT, nb_layers 11", "TP, nb_layers 2 (2 seeds)"], [])
    assert alignment.layer_columns(curves[0].mean) == [f"bp_angle_{l}" for l in range(12)]
    assert curves[0].std is None and set(curves[1].mean) == {"bp_angle", "bp_angle_0", "bp_angle_1", "bp_angle_2"}
    # The two runs have 30 and 40.
    np.testing.assert_allclose(curves[1].mean["bp_angle_2"], [35.0] * 3)
    np.testing.assert_allclose(curves[1].std["bp_angle_2"], [50**0.5] * 3)
    np.testing.assert_array_equal(alignment.load(read_runs(folders), 1.0)[0][0].x, [1, 2])


def test_runs_without_angles_and_other_mistakes_are_refused_in_one_sentence(tmp_path, capsys):
    good, plain = make_run(tmp_path / "good", "TP", 2), make_run(tmp_path / "plain", "TP", 2, measured=False)
    lacking = make_run(tmp_path / "lacking", "TP", 2, columns=["bp_angle_0", "bp_angle_1"])
    for argv, text in (
        ([good, plain], "plain has no angles to draw: it was trained without --alignment"),
        ([lacking], "has no column bp_angle"),
        ([good, "--output=a.jpg"], "--output=a.jpg: the name must end in .png or .pdf"),
        ([good, "--from_epoch=9"], "nothing to draw from epoch 9 on"),
    ):
        assert alignment.main(argv) == 2
        message = capsys.readouterr().err
        assert message.startswith("alignment.py: ") and message.count("\n") == 1 and text in message


@pytest.fixture
def matplotlib():
    return pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install matplotlib")


@pytest.mark.parametrize("rules, layers", [(["GAIT"], 2), (["BP", "GAIT"], 5), (["BP", "GAIT", "TP", "SIGN"], 9)])
def test_panels_lines_and_legend(matplotlib, tmp_path, rules, layers):
    figure = alignment.draw(
        alignment.load(read_runs([make_run(tmp_path / rule, rule, layers) for rule in rules]))[0], "MNIST"
    )
    figure.draw_without_rendering()
    assert [axes.get_title() for axes in figure.axes] == rules
    [legend] = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    between = [f"layer {l}" for l in range(1, layers - 1)]
    assert labels == ["layer 0 (first)", *between, f"layer {layers - 1} (output)", "whole network"]
    for axes in figure.axes:
        assert axes.get_xlabel() == "epoch" and axes.get_ylim()[1] >= 90
        for l, line in enumerate(axes.lines[:-1]):
            np.testing.assert_array_equal(line.get_ydata(), [10.0 * (l + 1)] * 3)
    assert "degrees" in figure.axes[0].get_ylabel()
    box, lowest = legend.get_window_extent(), min(axes.get_tightbbox().y0 for axes in figure.axes)
    assert box.y1 < lowest and box.y0 > 0 and box.x0 > 0 and box.x1 < figure.bbox.x1
    bounds = [axes.get_tightbbox() for axes in figure.axes]
    assert not any(a.overlaps(b) for index, a in enumerate(bounds) for b in bounds[:index])
    # in grey, the lines of a panel differ in shade and marker
    looks = {(line.get_color(), line.get_marker(), str(line._unscaled_dash_pattern)) for line in figure.axes[0].lines}
    assert len(looks) == layers + 1


def test_it_runs_as_a_script(matplotlib, tmp_path):
    folder, pictures = make_run(tmp_path / "a", "TP", 3), [str(tmp_path / name) for name in ("a.png", "a.pdf")]
    command = [sys.executable, "figures/alignment.py", folder, *(f"--output={path}" for path in pictures)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, pictures, "")
    assert Path(pictures[0]).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and Path(pictures[1]).read_bytes()[:5] == b"%PDF-"


# ---- figures/alignment_depth.py and figures/precision.py


@pytest.fixture
def images(monkeypatch):
    """Made-up images of 4 x 4 pixels in place of MNIST's in alignment_depth, of 28 x 28 in precision."""

    def some(side):
        random = np.random.default_rng(3)
        pixels, labels = random.random((60, side, side)), random.integers(0, 10, 60)
        return lambda options, count: (pixels[:count], labels[:count])

    monkeypatch.setattr(precision, "IMAGES", 2)
    monkeypatch.setattr(alignment_depth, "first_images", some(4))
    monkeypatch.setattr(precision, "first_images", some(28))


def test_angles_over_depth(images):
    found = alignment_depth.measure(untrained.Options(nb_seeds=2, hidden_layers=3, quiet=True))
    np.testing.assert_array_equal(found["hidden_layers"], [0, 1, 2, 3])
    np.testing.assert_array_equal(found["seeds"], [1, 2])
    for case in alignment_depth.CASES:
        for part in alignment_depth.PARTS:
            values = found[f"{case}_{part}"]
            assert values.shape == (2, 4) and (values[:, 0] < 1e-10).all(), (
                "the only layer is the last: it learns by BP's rule"
            )
            assert (values[:, 1:] < 1.0).all() if case == "gait_orthogonal" else (values[:, 1:] > 1.0).all()
    # The networks are those of run.py.
    for case, (rule, init) in alignment_depth.CASES.items():
        options = run.Options(seed=2, nb_layers=3, init=init)
        net = run.build_net(options, 16, 10, select_backend("numpy"))
        pixels, labels = alignment_depth.first_images(None, alignment_depth.BATCH)
        rules = [(RULES[name], RULES[name].Options()) for name in (rule, "BP")]
        angles = angles_between(net, *rules, pixels.reshape(-1, 16), np.eye(10)[labels])
        measured = [found[f"{case}_{part}"][1, 3] for part in ("first", "network")]
        np.testing.assert_allclose(measured, [angles[0], angles[-1]], atol=1e-9)


def test_exact_solutions_have_all_digits_asked_for():
    with localcontext(Context(prec=60)):
        w = haar_orthogonal(np.random.default_rng(1), 6, 6)
        rows = precision.decimals(np.random.default_rng(2).standard_normal((2, 6))) / Decimal(3)
        left = rows - precision.exact_solve(w, rows) @ precision.decimals(w)
        assert max(abs(each) for each in left.ravel()) < Decimal("1e-56")
    assert getcontext().prec == 28


def test_the_truth_is_backpropagation_where_the_paper_proves_it():
    """Signed permutations are orthogonal without rounding, and with so small a gamma no unit crosses its kink.  In
    floats the published formula has lost all its digits at this depth."""
    random, size, layers, gamma = np.random.default_rng(4), 8, 9, 1e-12
    weights = [np.eye(size)[random.permutation(size)] * random.choice([-1.0, 1.0], size) for _ in range(layers)]
    inputs, target = random.uniform(1, 2, (3, size)), random.uniform(-1, 1, (3, 4))
    net = SquareInvNet(weights, [np.zeros(size)] * layers, LEAKY_RELU, 4)
    bp = batch_update(net, RULES["BP"], RULES["BP"].Options(), net.forward(inputs), target)[:2]
    truth = precision.exact_update(weights, inputs, target, gamma, 0.1)
    for found, expected in zip(truth, bp, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14 * abs(expected).max())
    published = RULES["GAIT"].Options(gamma=gamma, target_form="absolute")
    lost = batch_update(net, RULES["GAIT"], published, net.forward(inputs), target)[0]
    assert abs(lost - bp[0]).max() > abs(bp[0]).max()


def test_the_truth_is_the_published_formula_across_kinks():
    """gamma = 1/2: units cross their kink, and two layers below the output no digits are lost yet."""
    random, size = np.random.default_rng(5), 7
    weights = [haar_orthogonal(random, size, size) for _ in range(3)]
    inputs, target = random.standard_normal((4, size)), np.eye(4)
    net = SquareInvNet(weights, [np.zeros(size)] * 3, LEAKY_RELU, 4)
    trace, truth = net.forward(inputs), precision.exact_update(weights, inputs, target, 0.5, 0.1)
    for form in precision.FORMS:
        update = batch_update(net, RULES["GAIT"], RULES["GAIT"].Options(gamma=0.5, target_form=form), trace, target)
        for found, expected in zip(update[:2], truth, strict=True):
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13 * abs(expected).max())
    bp = batch_update(net, RULES["BP"], RULES["BP"].Options(), trace, target)
    assert abs(bp[0] - truth[0]).max() > 1e-3 * abs(truth[0]).max(), "no unit crosses its kink"


def test_digits_over_depth(images):
    """Rounding grows by 1 / gamma with every layer in the published form, not at all in the other."""
    found = precision.measure(untrained.Options(nb_seeds=1, hidden_layers=2, quiet=True))
    for name in precision.PRECISIONS:
        eps = float(np.finfo(name).eps)
        assert (found[f"difference_{name}"] < 100 * eps).all()
        (losses,) = found[f"absolute_{name}"] / eps
        assert losses[0] < 100 and 1e2 < losses[1] < 1e6 and 1e5 < losses[2] < 1e10


def made_up(module):
    """Data of the right shapes: two seeds, four depths."""
    sizes = {"d": 4, "s": 2}
    arrays = {name: np.full([sizes[letter] for letter in letters], 0.25) for name, letters in module.SHAPES.items()}
    return arrays | {"hidden_layers": np.arange(4), "seeds": np.arange(1, 3)}


@pytest.mark.parametrize("module, panels, curves", [(alignment_depth, 2, 4), (precision, 1, 4)])
def test_pictures_over_depth(matplotlib, module, panels, curves):
    figure = module.draw(made_up(module))
    figure.draw_without_rendering()
    [legend] = figure.legends
    assert len(figure.axes) == panels and len(legend.get_texts()) == curves == len(
        {text.get_text() for text in legend.get_texts()}
    )
    assert "median and range of 2 seeds" in legend.get_title().get_text()
    for axes in figure.axes:
        assert axes.get_xlabel() == "hidden layers"
        assert len({(line.get_marker(), str(line._unscaled_dash_pattern)) for line in axes.lines[:curves]}) == curves
    assert re.search("degrees|relative", figure.axes[0].get_ylabel())
    box, lowest = legend.get_window_extent(), min(axes.get_tightbbox().y0 for axes in figure.axes)
    assert box.y1 < lowest and box.y0 > 0 and box.x0 > 0 and box.x1 < figure.bbox.x1


def test_the_legend_tells_an_angle_too_small_to_see(matplotlib):
    arrays = made_up(alignment_depth)
    arrays["tp_xavier_network"] += 40.0
    texts = [text.get_text() for text in alignment_depth.draw(arrays).legends[0].get_texts()]
    assert (
        texts[0] == "GAIT, orthogonal weights (at most 0.2°)" or texts[0] == "GAIT, orthogonal weights (at most 0.3°)"
    )
    assert texts[3] == "TP, xavier weights"


@pytest.mark.parametrize("module", [alignment_depth, precision])
def test_what_is_measured_is_saved_and_can_be_drawn_again(matplotlib, module, images, tmp_path, capsys):
    small, first, again = ["--nb_seeds=1", "--hidden_layers=1", "--quiet"], tmp_path / "a.png", tmp_path / "b.png"
    assert module.main([*small, f"--output={first}", f"--output={tmp_path / 'a.pdf'}"]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / name) for name in ("a.npz", "a.png", "a.pdf")]
    assert module.main([str(tmp_path / "a.npz"), f"--output={again}"]) == 0
    assert first.read_bytes() == again.read_bytes() and first.read_bytes()[:4] == b"\x89PNG"


def test_mistakes_over_depth_are_one_sentence(tmp_path, capsys, monkeypatch):
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    untrained.write_arrays(tmp_path / "other.npz", {"hidden_layers": np.arange(3)})
    monkeypatch.setattr(
        untrained.datasets, "load", lambda *_: (_ for _ in ()).throw(untrained.datasets.DataError("no images"))
    )
    for argv, text in (
        ([str(tmp_path / "bad.npz")], "bad.npz is damaged"),
        ([str(tmp_path / "other.npz")], "other.npz is not the data of this figure"),
        ([str(tmp_path / "other.npz"), "--nb_seeds=2"], "--nb_seeds: does not apply to DATA"),
        (["--output=a.gif"], "the name must end in .png or .pdf"),
        (["--quiet"], "no images"),
    ):
        assert (
            alignment_depth.main([*argv, *([] if "--output" in str(argv) else [f"--output={tmp_path / 'x.png'}"])]) == 2
        )
        message = capsys.readouterr().err
        assert message.startswith("alignment_depth.py: ") and message.count("\n") == 1 and text in message
    with pytest.raises(SystemExit) as stop:
        precision.main(["--hidden_layers=0"])
    assert stop.value.code == 2 and "must be in [1, 30]" in capsys.readouterr().err


def test_the_folder_of_a_picture_over_depth_is_made_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(precision, "measure", lambda options: {"there": np.array((tmp_path / "results").is_dir())})
    monkeypatch.setattr(untrained, "read_data", lambda source, shapes: {})
    monkeypatch.setattr(precision, "draw", lambda arrays: None)
    monkeypatch.setattr(untrained, "write_pictures", lambda figure, outputs: None)
    assert precision.main([]) == 0
    assert read_arrays(tmp_path / "results" / "precision.npz")["there"]
