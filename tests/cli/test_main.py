"""main.py as people use it: every rule learns, and a run leaves the published files (dfc.md I) with the
right numbers in them."""

import itertools
import json
import re
import subprocess
import sys

import numpy as np
import pytest

import main
from core.backend import select_backend
from dfc.settings.flags import STRONG, SUITE, Options
from tests.faults.tiny_main import (
    BATCHES,
    ROOT,
    RULES,
    TINY,
    TRAIN,
    VALIDATION,
    VARIANTS,
    arrays,
    checkpoint,
    complaint,
    finish,
    in_process,
    read_metrics,
    results,
    tiny_images,
)

SIZES = (6, 7, 5, 3)
IMAGES = ("--dataset=mnist", "--output_activation=softmax", "--size_input=784", "--size_output=10")
AUTOENCODER = ("--dataset=mnist_autoencoder", "--size_input=784", "--size_output=784", "--size_hidden=4", "--tmax_di=4")
FILES = {"config.json", "args.txt", "metrics.csv", "results.json", "results.npz", "performance_overview.txt"}
FILES |= {"checkpoint.npz", "DONE", ".lock"}
# The file has them, see docs/published/dfc.md I.7.
INITIAL = (
    "acc_train_last", "acc_train_best", "loss_train_last", "loss_train_best", "acc_test_last",
    "acc_test_best", "acc_val_last", "acc_val_best", "acc_test_val_best", "acc_train_val_best",
    "loss_test_val_best", "loss_train_val_best", "loss_val_best", "epoch_best_loss", "epoch_best_acc",
    "loss_test_last", "loss_test_best", "rec_loss", "rec_loss_last", "rec_loss_best",
    "rec_loss_first", "rec_loss_init", "rec_loss_var_av", "avg_time_per_epoch", "finished",
)  # fmt: skip
# The errors of these rules are not made small by the step size of a nudge.
DIRECT = ("BP", "Strong-DFC")
COUNTED = ["converged", "diverged", "not_converged"]


@pytest.fixture
def call(tmp_path, monkeypatch):
    return in_process(tmp_path, monkeypatch)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


def summary(folder):
    return json.loads((folder / "results.json").read_text())


def series(folder):
    with np.load(folder / "results.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


# ---- learning


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_rule_lowers_the_loss(variant, call, folder):
    """One batch an epoch, so that each entry of loss_train is the loss on all samples with the
    weights of the epoch before."""
    rate = "--lr=1e-4" if variant.startswith(DIRECT) else "--lr=0.2"
    assert call(*VARIANTS[variant], rate, "--batch_size=20", "--epochs=15") == 0
    losses = read_metrics(folder)["loss_train"]
    assert np.diff(losses).max() < 0
    assert losses[-1] < 0.92 * losses[0]


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_rule_learns_to_classify(variant, call, folder):
    rate = {"BP": "--lr=5e-5", "Strong-DFC": "--lr=2e-5"}.get(variant.split(",")[0], "--lr=0.05")
    assert call(*VARIANTS[variant], *IMAGES, rate, "--epochs=8", "--size_hidden=20", "--num_hidden=2") == 0
    metrics = read_metrics(folder)
    assert metrics["acc_train"][-1] > 0.5 > 2 * metrics["acc_train"][0]
    assert metrics["loss_test"][-1] < metrics["loss_test"][0]


@pytest.mark.parametrize("variant", VARIANTS)
def test_feedback_is_learned_unless_it_is_fixed(variant, call, folder):
    """And is all that is learned before the first epoch."""
    options = [*VARIANTS[variant], "--initialization_K=xavier_normal", "--initialization=xavier"]
    assert call(*options, "--epochs=0", "--epochs_fb=0") == 0
    start = arrays(folder)
    assert call(*options, "--epochs=0", "--epochs_fb=1", "--overwrite") == 0
    before = arrays(folder)
    assert call(*options, "--epochs_fb=1", "--overwrite") == 0
    after = arrays(folder)
    learned = variant in ("DFC", "DFC-SS", "DFC-SSA", "Strong-DFC")
    for name in start:
        first, second = start[name].tobytes() != before[name].tobytes(), before[name].tobytes() != after[name].tobytes()
        assert (first, second) == ((learned, learned) if "feedback" in name else (False, True)), name


def test_only_the_feedback_is_learned_where_that_is_asked_for(call, folder, capsys):
    assert call("--train_only_feedback_parameters", "--epochs_fb=2") == 0
    only = arrays(folder)
    assert summary(folder)["finished"] == 1 and summary(folder)["loss_train_last"] == -1
    assert json.loads((folder / "DONE").read_text())["outcome"] == "finished"
    assert "finished 0 epochs" in capsys.readouterr().out
    assert call("--epochs=0", "--epochs_fb=2", "--overwrite") == 0
    assert {name: array.tobytes() for name, array in arrays(folder).items()} == {
        name: array.tobytes() for name, array in only.items()
    }


def test_without_passes_before_training_w_is_learned_all_the_same(call, folder):
    """dfc.md L 45: asking for feedback weights only is ignored where none are learned before the first epoch."""
    for more in (["--epochs_fb=0"], ["--freeze_fb_weights"]):
        assert call("--train_only_feedback_parameters", *more, "--overwrite") == 0
        assert len(read_metrics(folder)["epoch"]) == 2


# ---- files


def shapes(rule):
    """{name: shape} of the arrays that a run of SIZES saves."""
    found = {}
    for l, (n_in, n_out) in enumerate(itertools.pairwise(SIZES)):
        found |= {f"{l}Lweights": (n_out, n_in), f"{l}Lbiases": (n_out,)}
        if "DFC" in rule or (rule == "DFA" and n_out != SIZES[-1]):
            found[f"{l}Lfeedback"] = (n_out, SIZES[-1])
    return found


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("rule", RULES)
def test_finished_run_leaves_these_files_and_no_others(rule, precision, call, folder):
    assert call(*RULES[rule], *["--single_precision"] * (precision == "float32")) == 0
    saved = arrays(folder)
    assert {name: array.shape for name, array in saved.items()} == shapes(rule)
    assert {array.dtype for array in saved.values()} == {np.dtype(precision)}
    assert {path.name for path in folder.iterdir()} == FILES | {f"{name}.npy" for name in saved}
    with np.load(folder / "checkpoint.npz", allow_pickle=False) as archive:
        own = [name for name in archive.files if not name.startswith("series_") and archive[name].ndim]
        assert {archive[name].dtype for name in own if name != "sha256"} == {np.dtype(precision)}
        for index, name in enumerate(name for l in range(3) for name in (f"{l}Lweights", f"{l}Lbiases")):
            assert archive[f"p{index}"].tobytes() == saved[name].tobytes()
    for name in ("checkpoint.npz", "results.npz"):
        with np.load(folder / name, allow_pickle=False) as archive:
            assert all(archive[key].dtype != object for key in archive.files)


def test_without_biases_there_are_no_files_of_them(call, folder):
    assert call("--no_bias") == 0
    assert sorted(arrays(folder)) == [f"{l}L{kind}" for l in range(3) for kind in ("feedback", "weights")]


# A run: (options, columns of metrics.csv between batch and seconds).
COLUMNS = {
    "BP": (RULES["BP"], ["loss_train", "loss_val", "loss_test"]),
    "DFA": (RULES["DFA"], ["loss_train", "loss_val", "loss_test"]),
    "DFC-SSA": (RULES["DFC-SSA"], ["loss_train", "loss_val", "loss_test"]),
    "DFC-SS": ((), ["loss_train", *COUNTED, "loss_val", "loss_test"]),
    "DFC": (RULES["DFC"], ["loss_train", *COUNTED, "loss_val", "loss_test"]),
    "no validation": (("--no_val_set", *RULES["DFA"]), ["loss_train", "loss_test"]),
    "classes": ((*IMAGES, *RULES["DFA"]), ["loss_train", "acc_train", "loss_val", "acc_val", "loss_test", "acc_test"]),
    "images": ((*AUTOENCODER, *RULES["BP"]), ["loss_train", "loss_val", "loss_test"]),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_series_have_one_row_an_epoch(case, call, folder):
    options, columns = COLUMNS[case]
    assert call(*options, "--epochs=3") == 0
    metrics = read_metrics(folder)
    assert list(metrics) == ["epoch", "batch", *columns, "seconds"]
    assert (metrics["epoch"], metrics["batch"]) == ([1, 2, 3], [0, 0, 0])
    assert metrics["seconds"] == sorted(metrics["seconds"])
    found = series(folder)
    for name in columns:
        # Every digit is the same.
        assert found[name].tolist() == metrics[name]
        assert np.isfinite(metrics[name]).all()
        if name.startswith("acc"):
            assert all(0.0 <= value <= 1.0 for value in metrics[name])
    if "converged" in columns:
        assert [sum(row) for row in zip(*(metrics[name] for name in COUNTED), strict=True)] == [20] * 3


def test_step_by_step_the_memory_saving_variant_counts_samples_at_every_step(call, folder):
    """dfc.md C.3: every one of the 59 steps, and once more at the end."""
    assert call(*RULES["DFC"], "--efficient_controller", "--epochs=1") == 0
    metrics = read_metrics(folder)
    assert sum(metrics[name][0] for name in COUNTED) == 60 * 20


@pytest.mark.parametrize("case", COLUMNS)
def test_summary_holds_the_published_entries(case, call, folder):
    """dfc.md I.7: last and best of each series, the epoch of the best validation, and -1 for what was not measured."""
    options, columns = COLUMNS[case]
    assert call(*options, "--epochs=4") == 0
    metrics, found = read_metrics(folder), summary(folder)
    expected = dict.fromkeys(INITIAL, -1) | {"finished": 1}
    for name in (column for column in columns if column.startswith(("loss", "acc"))):
        values = metrics[name]
        expected |= {f"{name}_last": values[-1], f"{name}_best": max(values) if name.startswith("acc") else min(values)}
    for kind, best in (("loss", np.argmin), ("acc", np.argmax)):
        if f"{kind}_val" in metrics:
            epoch = int(best(metrics[f"{kind}_val"]))
            expected[f"epoch_best_{kind}"] = epoch
            for part in ("test", "train"):
                expected[f"{kind}_{part}_val_best"] = metrics[f"{kind}_{part}"][epoch]
    time = found.pop("avg_time_per_epoch")
    expected.pop("avg_time_per_epoch")
    assert {name: found[name] for name in expected} == expected
    if "--network_type=BP" in options:
        assert time == -1
    else:
        assert 0 < time <= metrics["seconds"][-1] / 4 + 1e-3
    if "BP" not in case and "images" not in case:
        assert found["log_interval"] == 200


def test_time_before_the_first_epoch_is_no_time_of_an_epoch(call, folder, monkeypatch):
    """The clock of the test advances by 1 s a batch: 5 passes of 3 batches before, 2 in each epoch."""
    clock = iter(range(1 << 30))
    now = [0.0]
    for learner in ("FeedbackLearner", "ForwardLearner"):
        owner = getattr(sys.modules["dfc.learners"], learner)
        step = owner.step

        def stepped(*arguments, step=step):
            step(*arguments)
            now[0] = float(next(clock) + 1)

        monkeypatch.setattr(owner, "step", stepped)
    monkeypatch.setattr("core.training.time.perf_counter", lambda: now[0])
    assert call("--epochs_fb=5", "--epochs=4") == 0
    assert summary(folder)["avg_time_per_epoch"] == 2 * BATCHES
    assert read_metrics(folder)["seconds"] == [(5 + 2 * epoch) * BATCHES for epoch in range(1, 5)]


def test_overview_has_a_line_an_entry(call, folder):
    """Published: `key value`; floats with six decimals, whole numbers as they are, lists with
    spaces, arrays left out."""
    assert call(*IMAGES, "--save_eigenvalues", "--log_interval=1") == 0
    found = summary(folder)
    lines = dict(line.split(" ", 1) for line in (folder / "performance_overview.txt").read_text().splitlines())
    assert lines.keys() == found.keys()
    for name, value in found.items():
        if isinstance(value, list):
            assert lines[name] == " ".join(map(str, value))
        elif isinstance(value, float):
            assert re.fullmatch(r"-?\d+\.\d{6}", lines[name]) and abs(float(lines[name]) - value) <= 5e-7
        else:
            assert lines[name] == str(value)
    assert isinstance(found["max_eig_keys"], list) and isinstance(found["acc_test_last"], float)


def test_files_hold_what_the_network_learned(call, folder):
    """The saved weights, put through the network's definition by hand, give the last measurements,
    batch by batch unweighted."""
    assert call(*IMAGES, *RULES["DFC-SSA"], "--epochs=3", "--hidden_activation=[tanh, relu]") == 0
    data, saved, metrics = tiny_images("MNIST"), arrays(folder), read_metrics(folder)
    train, validation = sys.modules["dfc.tasks"].train_validation_split(TRAIN + VALIDATION)
    parts = {
        "test": (data.test_images, data.test_labels),
        "val": (data.train_images[validation], data.train_labels[validation]),
    }
    assert len(train) == TRAIN
    for part, (pixels, labels) in parts.items():
        losses, rights = [], []
        for start in range(0, len(labels), 8):
            r = (pixels[start : start + 8] / 255 - 0.1307) / 0.3081
            for l, phi in enumerate((np.tanh, lambda v: np.maximum(v, 0), lambda v: v)):
                r = phi(r @ saved[f"{l}Lweights"].T + saved[f"{l}Lbiases"])
            right = labels[start : start + 8]
            losses.append(np.mean(np.log(np.exp(r).sum(axis=1)) - r[np.arange(len(r)), right]))
            rights.append(np.mean(r.argmax(axis=1) == right))
        assert metrics[f"acc_{part}"][-1] == pytest.approx(np.mean(rights))
        # Pixels are rounded to float32.
        assert metrics[f"loss_{part}"][-1] == pytest.approx(np.mean(losses), rel=1e-6)


def test_training_loss_is_that_of_the_predictions_before_each_update(call, folder):
    """With one batch an epoch, loss_train of an epoch is the loss with the weights that the
    epoch before left behind."""
    rule = (*IMAGES, *RULES["DFC-SSA"], f"--batch_size={TRAIN}")
    assert call(*rule, "--epochs=1") == 0
    saved, data = arrays(folder), tiny_images("MNIST")
    train, _ = sys.modules["dfc.tasks"].train_validation_split(TRAIN + VALIDATION)
    r, labels = (data.train_images[train] / 255 - 0.1307) / 0.3081, data.train_labels[train]
    for l, phi in enumerate((np.tanh, np.tanh, lambda v: v)):
        r = phi(r @ saved[f"{l}Lweights"].T + saved[f"{l}Lbiases"])
    assert call(*rule, "--epochs=2", "--load") == 0
    metrics = read_metrics(folder)
    assert metrics["loss_train"][1] == pytest.approx(
        np.mean(np.log(np.exp(r).sum(axis=1)) - r[np.arange(TRAIN), labels]), rel=1e-6
    )
    assert metrics["acc_train"][1] == pytest.approx(np.mean(r.argmax(axis=1) == labels))


def test_args_are_the_completed_flags(call, folder):
    """dfc.md J.post 10: every published flag, what stands for another one replaced, lists still as text."""
    assert call("--sigma=0.25", "--dt_di_fb=0.05", "--lr=[0.1,0.2,0.3]") == 0
    args = json.loads((folder / "args.txt").read_text())
    published = {
        name for name, field in Options.__dataclass_fields__.items() if field.metadata["group"] not in (SUITE, STRONG)
    }
    assert args.keys() == published
    expected = {
        "sigma_fb": 0.25,
        "sigma_output_fb": 0.25,
        "lr_fb_init": "0.01",
        "k_p_fb": 0.5,
        "apical_time_constant_fb": 0.1,
    }
    expected |= {
        "dt_di_fb": 0.05,
        "tmax_di_fb": 20,
        "lr": "[0.1,0.2,0.3]",
        "size_hidden": "[7, 5]",
        "ndi": False,
        "epochs_fb": 1,
    }
    assert {name: args[name] for name in expected} == expected


def test_config_is_complete_before_training(call, folder, monkeypatch):
    """What a run was is on disk before its first batch, so that a run killed at any time can be told and repeated."""
    seen = {}

    class Stop(Exception):
        pass

    def look(loop):
        seen.update(json.loads((loop.folder.path / "config.json").read_text()))
        assert (loop.folder.path / "args.txt").exists() and summary(folder)["finished"] == 0
        raise Stop

    monkeypatch.setattr(main.Loop, "begin", look)
    with pytest.raises(Stop):
        call("--random_seed=7", "--sample0_error=corrected", "--nan_test=symmetric")
    published = {name for name, field in Options.__dataclass_fields__.items() if field.metadata["group"] != SUITE}
    assert (
        published | {"backend", "threads", "device", "sample0_error", "nan_test", "data_dir"} <= seen["options"].keys()
    )
    chosen = {"random_seed": 7, "backend": "numpy", "threads": 1, "sample0_error": "corrected", "nan_test": "symmetric"}
    assert {name: seen["options"][name] for name in chosen} == chosen
    assert (
        seen["versions"]["numpy"] == np.__version__ and seen["device"] and seen["threads"] == 1 and "git_commit" in seen
    )


# ---- going on


@pytest.mark.parametrize("variant", VARIANTS)
def test_loading_with_more_epochs_equals_the_longer_run_bit_for_bit(variant, call, tmp_path):
    """From no epoch at all, where W has not been touched yet, and from the first."""
    options = [*VARIANTS[variant], "--optimizer=Adam", "--optimizer_fb=Adam", "--lr=1e-6", "--extra_fb_epochs=1"]
    assert call(*options, "--epochs=3") == 0
    for epochs in (0, 1):
        parts = f"--out_dir={tmp_path / str(epochs)}"
        assert call(*options, f"--epochs={epochs}", parts) == 0
        assert call(*options, "--epochs=3", parts, "--load") == 0
        assert results(tmp_path / str(epochs)) == results(tmp_path / "run")
        assert checkpoint(tmp_path / str(epochs)) == checkpoint(tmp_path / "run")


def test_loading_a_run_that_has_its_epochs_changes_nothing(call, folder, capsys):
    assert call() == 0
    before = {path: path.read_bytes() for path in folder.iterdir()}
    capsys.readouterr()
    assert call("--load") == 0
    assert "finished 2 epochs" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_overwriting_starts_again_and_keeps_what_is_no_runs(call, folder):
    assert call("--ndi", "--epochs=1") == 0
    once = results(folder)
    (folder / "notes.md").write_text("mine")
    assert call(*RULES["BP"], "--overwrite") == 0
    assert not list(folder.glob("*feedback*")) and (folder / "notes.md").read_text() == "mine"
    assert call("--ndi", "--epochs=1", "--overwrite") == 0
    assert results(folder) == once


def test_load_or_start_starts_then_goes_on(call, folder, tmp_path):
    assert call("--epochs=3", f"--out_dir={tmp_path / 'whole'}") == 0
    for epochs in (1, 3, 3):
        assert call(f"--epochs={epochs}", "--load_or_start") == 0
    assert results(folder) == results(tmp_path / "whole")


def test_the_number_of_epochs_before_changes_nothing_before_them(call, folder, tmp_path):
    """Sample order and noise belong to a place in the run, not to what comes later."""
    assert call("--epochs=1", "--fb_learning_rule=normal_controller") == 0
    assert call("--epochs=3", "--fb_learning_rule=normal_controller", f"--out_dir={tmp_path / 'longer'}") == 0
    first, longer = read_metrics(folder), read_metrics(tmp_path / "longer")
    assert all(first[name] == longer[name][:1] for name in first if name != "seconds")


# ---- repeatable


@pytest.mark.parametrize("variant", VARIANTS)
def test_same_seed_same_bits_other_seed_other_numbers(variant, call, tmp_path):
    np.random.seed(0)
    state = np.random.get_state()[1].tobytes()
    options = [
        *VARIANTS[variant],
        "--noise_K=0.1",
        "--fb_learning_rule=normal_controller",
        "--noisy_dynamics",
        "--sigma=0.001",
    ]
    options.append("--include_non_converged_samples")
    assert call(*options) == 0
    assert call(*options, f"--out_dir={tmp_path / 'again'}") == 0
    assert call(*options, f"--out_dir={tmp_path / 'other'}", "--random_seed=43") == 0
    assert results(tmp_path / "again") == results(tmp_path / "run")
    assert np.random.get_state()[1].tobytes() == state
    mine, other = arrays(tmp_path / "run"), arrays(tmp_path / "other")
    # It is the identity.
    last = [name for name in mine if name == "2Lfeedback" and "fixed" in variant]
    assert [name for name in mine if np.array_equal(mine[name], other[name])] == last


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_threads_learn_what_one_learns(variant, call, tmp_path, monkeypatch):
    """To rounding; the noise is that of one thread bit for bit: 256 rows of a small network have one
    source, whoever has them."""
    asked, noise = [], main.Draws.noise

    def ask(draws, place, part):
        asked.append((place, part))
        return noise(draws, place, part)

    monkeypatch.setattr(main.Draws, "noise", ask)
    options = [*VARIANTS[variant], "--num_train=600", "--batch_size=600", "--fb_learning_rule=normal_controller"]
    options += ["--epochs=3", "--noisy_dynamics", "--sigma=0.0001", "--include_non_converged_samples", "--tmax_di=10"]
    drawn = []
    for threads in (1, 2):
        asked.clear()
        assert call(*options, f"--threads={threads}", f"--out_dir={tmp_path / str(threads)}") == 0
        drawn.append(sorted(asked))
    assert drawn[0] == drawn[1]
    assert {part for _, part in drawn[0]} == ({0, 1, 2} if drawn[0] else set())
    assert bool(drawn[0]) == (variant not in ("BP", "DFA", "DFC-SSA, fixed"))
    one, two = arrays(tmp_path / "1"), arrays(tmp_path / "2")
    for name in one:
        assert np.abs(one[name] - two[name]).max() <= 1e-9 * np.abs(one[name]).max(), name


def test_every_draw_has_its_own_place():
    """Passes in other orders, other noise in every batch, part and layer, and for every seed; asked again, the same."""
    draws = [main.Draws(seed, select_backend("numpy")) for seed in (1, 1, 2)]
    like = [np.empty((4, 3)), np.empty((4, 3))]
    places = [((passed, batch), part) for passed in range(2) for batch in range(2) for part in range(2)]

    def drawn(source):
        yield from (source.order(passed, 50).tobytes() for passed in range(3))
        for place, part in places:
            noise = source.noise(place, part)
            for _ in range(2):
                yield from (layer[t].tobytes() for layer in noise.fill(3, like) for t in range(3))
        for layer in range(2):
            yield source.weights("xavier", layer, 4, 3).tobytes()
            yield from (source.feedback("xavier", layer, 4, 3, epoch).tobytes() for epoch in range(2))
            yield source.teacher(layer, 4, 3).tobytes()

    first, again, other = (list(drawn(source)) for source in draws)
    assert first == again
    assert len(set(first) | set(other)) == 2 * len(first)


# ---- what is printed


def test_one_line_an_epoch_and_one_at_the_end(call, folder, capsys):
    assert call("--epochs=3", *IMAGES) == 0
    out, err = capsys.readouterr()
    lines, metrics = out.splitlines(), read_metrics(folder)
    assert [line.split()[:2] for line in lines[:3]] == [["epoch", f"{epoch}/3"] for epoch in (1, 2, 3)]
    for line, accuracy in zip(lines, metrics["acc_test"], strict=False):
        assert f"acc_test {accuracy:.6g}" in line
    assert len(lines) == 4 and "finished 3 epochs" in lines[3] and f"{100 * metrics['acc_test'][-1]:.2f} %" in lines[3]
    assert str(folder) in lines[3] and err == ""


def test_notes_go_to_stderr_unless_quiet(tmp_path, monkeypatch, capsys):
    in_process(tmp_path, monkeypatch)
    words = [word for word in TINY if word != "--quiet"]
    assert main.main([*words, "--epochs=0", "--train_parallel", f"--out_dir={tmp_path / 'a'}"]) == 0
    out, err = capsys.readouterr()
    assert str(tmp_path / "a") in out and "numpy" in out and "threads: 1" in out
    assert err.startswith("main.py: note: ") and "--train_parallel" in err
    assert main.main([*TINY, "--epochs=0", "--train_parallel", f"--out_dir={tmp_path / 'b'}"]) == 0
    assert capsys.readouterr().err == ""


def test_runs_without_a_folder_get_one_each(tmp_path, monkeypatch):
    """Also two that start within a second; nothing is made for a run that is refused."""
    in_process(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main.main([*TINY, "--epochs=-1"])
    assert main.main([*TINY, "--batch_size=1000"]) == 2
    assert list(tmp_path.iterdir()) == []
    for _ in range(3):
        assert main.main([*TINY, "--epochs=0"]) == 0
    found = list((tmp_path / "logs" / "runs").iterdir())
    assert len(found) == 3 and all(re.match(r"run_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(_\d)?$", path.name) for path in found)


# What happens: (options, fault, exit status).
STATUS = {
    "finished": ((), "", 0),
    "a user's mistake": (("--epochs=-1",), "", 2),
    "diverged": (("--lr=1e200",), "", 3),
    "Ctrl-C": ((), "step 5 SIGINT", 130),
    "SIGTERM": ((), "step 5 SIGTERM", 143),
}


@pytest.mark.parametrize("case", STATUS)
def test_exit_status_tells_how_it_ended(case, tmp_path):
    options, fault, status = STATUS[case]
    found, out, err = finish(f"--out_dir={tmp_path / 'r'}", *options, fault=fault)
    assert found == status, err
    if status in (2, 3):
        complaint(err)
    else:
        assert err == ""
    assert ("--load" in out) == (status > 100)


def test_the_program_runs_as_it_stands(tmp_path):
    """From the shell, with the real teacher and the published default network."""
    words = [
        "--num_train=130",
        "--num_test=10",
        "--num_val=10",
        "--tmax_di=5",
        "--epochs=1",
        "--network_type=DFC-SSA",
        "--quiet",
    ]
    words = [sys.executable, "main.py", *words, f"--out_dir={tmp_path / 'r'}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert np.load(tmp_path / "r" / "0Lweights.npy").shape == (5, 10)
    assert len(arrays(tmp_path / "r")) == 12
    assert read_metrics(tmp_path / "r")["epoch"] == [1.0]
