"""Every flag of main.py changes what it is for and nothing else, or is known to do nothing and says so (dfc.md J)."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

import main
from dfc.functions import ACTIVATIONS
from dfc.measures import tensorboard
from dfc.settings.flags import Options
from dfc.settings.published import INITIAL_Q, INITIAL_W, LEARNING_RULES, OPTIMISERS, Q_RULES
from tests.faults.tiny_main import FIXED, ROOT, RULES, TINY, arrays, checkpoint, in_process, read_metrics

FLAGS = tuple(field.name for field in dataclasses.fields(Options))
NORMAL = "--fb_learning_rule=normal_controller"
ADAM = "--optimizer=Adam --lr=1e-6"
ADAM_FB = "--optimizer_fb=Adam"
FRAMES = "--save_df --log_interval=1"
LOGS = "--save_logs --log_interval=1"
BP = " ".join(RULES["BP"])
IMAGES = "--dataset=mnist --output_activation=softmax --size_input=784 --size_output=10"
STRONG = " ".join(RULES["Strong-DFC"])
# After so many time points some samples have converged and some have not.
PARTLY = "--tmax_di=40"
# The memory-saving simulation where its first error decides which samples converge
FIRST_ERROR = "--efficient_controller --epsilon_di=0.08 --target_stepsize=0.0001"
# One sample whose loss never falls: published runs end after 12 epochs
PLATEAU = "--freeze_forward_weights --num_train=1 --batch_size=1 --epochs=13 --ndi"

# flag: (command line without it, the flag, all that it changes).  Words with a "!" are left out of TINY.  Aspects:
# "weights", "series" (metrics.csv), "summary" (results.json and .npz, frames), "files" (names, shapes, types), "log"
# (TensorBoard), "status" (of the exit); and, only looked at where they are named, "config" (machine part of
# config.json), "out" and "place".
NUMBERS = "weights series summary"
EFFECTS = {
    "dataset": (IMAGES, "--dataset=fashion_mnist", NUMBERS),
    "num_train": ("", "--num_train=21", NUMBERS),
    "num_test": ("", "--num_test=9", "series summary"),
    "num_val": ("", "--num_val=9", "series summary"),
    "no_val_set": ("", "--no_val_set", "series summary"),
    "load_ST_dataset": ("--data_dir={arrays}", "--load_ST_dataset", NUMBERS),
    "epochs": ("", "--epochs=3", NUMBERS),
    "batch_size": ("", "--batch_size=7", NUMBERS),
    "lr": ("", "--lr=0.04", NUMBERS),
    "lr_fb": ("--lr_fb_init=0.01", "--lr_fb=0.02", NUMBERS),
    "lr_fb_init": ("", "--lr_fb_init=0.02", NUMBERS),
    "target_stepsize": ("", "--target_stepsize=0.0005", NUMBERS),
    "optimizer": ("--lr=1e-6", "--optimizer=Adam", NUMBERS),
    "optimizer_fb": ("", "--optimizer_fb=RMSprop", NUMBERS),
    "momentum": ("", "--momentum=0.5", NUMBERS),
    "sigma": ("", "--sigma=0.1", NUMBERS),
    "sigma_fb": ("", "--sigma_fb=0.1", NUMBERS),
    "sigma_output_fb": (NORMAL, "--sigma_output_fb=0.1", NUMBERS),
    "forward_wd": ("", "--forward_wd=0.001", NUMBERS),
    "feedback_wd": ("", "--feedback_wd=0.1", NUMBERS),
    "normalize_lr": ("!--normalize_lr", "--normalize_lr", NUMBERS),
    "epochs_fb": ("", "--epochs_fb=2", NUMBERS),
    "freeze_forward_weights": ("", "--freeze_forward_weights", NUMBERS),
    "freeze_fb_weights": ("", "--freeze_fb_weights", NUMBERS),
    "freeze_fb_weights_output": ("", "--freeze_fb_weights_output", NUMBERS),
    "shallow_training": (BP, "--shallow_training", NUMBERS),
    "extra_fb_epochs": ("", "--extra_fb_epochs=1", NUMBERS),
    "only_train_first_layer": ("", "--only_train_first_layer", NUMBERS),
    "train_only_feedback_parameters": ("", "--train_only_feedback_parameters", f"{NUMBERS} files"),
    "clip_grad_norm": ("", "--clip_grad_norm=0.001", NUMBERS),
    "grad_deltav_cont": ("", "--grad_deltav_cont", NUMBERS),
    "fix_grad_norm": ("", "--fix_grad_norm=0.001", NUMBERS),
    "beta1": (ADAM, "--beta1=0.9", NUMBERS),
    "beta2": (ADAM, "--beta2=0.9", NUMBERS),
    "epsilon": (ADAM, "--epsilon=0.01", NUMBERS),
    "beta1_fb": (ADAM_FB, "--beta1_fb=0.9", NUMBERS),
    "beta2_fb": (ADAM_FB, "--beta2_fb=0.9", NUMBERS),
    "epsilon_fb": (ADAM_FB, "--epsilon_fb=0.01", NUMBERS),
    "num_hidden": ("--size_hidden=5", "--num_hidden=2", f"{NUMBERS} files"),
    "size_hidden": ("", "--size_hidden=[7, 6]", f"{NUMBERS} files"),
    "size_input": ("", "--size_input=5", f"{NUMBERS} files"),
    "size_output": ("", "--size_output=2", f"{NUMBERS} files"),
    "hidden_activation": ("", "--hidden_activation=[tanh, linear]", NUMBERS),
    "output_activation": ("", "--output_activation=leakyrelu", NUMBERS),
    "no_bias": ("", "--no_bias", f"{NUMBERS} files"),
    "network_type": ("", "--network_type=DFA", f"{NUMBERS} files"),
    "initialization": ("", "--initialization=xavier", NUMBERS),
    "random_seed": ("", "--random_seed=43", NUMBERS),
    "single_precision": ("", "--single_precision", f"{NUMBERS} files"),
    "evaluate": (PLATEAU, "--evaluate", NUMBERS),
    "log_interval": (f"{FRAMES} --save_BP_angle", "--log_interval=2", "summary"),
    "save_logs": ("--save_BP_angle --save_df", "--save_logs", "log"),
    "save_BP_angle": (FRAMES, "--save_BP_angle", "summary files"),
    "save_GN_angle": (FRAMES, "--save_GN_angle", "summary files"),
    "save_GNT_angle": (FRAMES, "--save_GNT_angle", "summary files"),
    "save_NDI_angle": (FRAMES, "--save_NDI_angle", "summary files"),
    "save_BP_GNT_angle": (LOGS, "--save_BP_GNT_angle", "log"),
    "save_GN_GNT_angle": (LOGS, "--save_GN_GNT_angle", "log"),
    "save_GNT_ss_no_ss_angle": (LOGS, "--save_GNT_ss_no_ss_angle", "log"),
    "save_condition_gn": (FRAMES, "--save_condition_gn", "summary files"),
    "save_eigenvalues": ("--log_interval=1", "--save_eigenvalues", "summary"),
    "save_jac_t_angle": (FRAMES, "--save_jac_t_angle", "summary files"),
    "save_jac_pinv_angle": (FRAMES, "--save_jac_pinv_angle", "summary files"),
    "save_eigenvalues_bcn": ("--log_interval=1", "--save_eigenvalues_bcn", "summary"),
    "save_norm_r": ("--log_interval=1", "--save_norm_r", "summary"),
    "save_df": ("--save_logs --save_BP_angle --log_interval=1", "--save_df", "summary files"),
    "gn_damping": (f"{FRAMES} --save_GNT_angle", "--gn_damping=1", "summary"),
    "gn_damping_hpsearch": (f"{FRAMES} --epochs=4", "--gn_damping_hpsearch", f"{NUMBERS} files"),
    "save_nullspace_norm_ratio": (FRAMES, "--save_nullspace_norm_ratio", "summary files"),
    "compute_gn_condition_init": ("--log_interval=1", "--compute_gn_condition_init", "summary"),
    "use_ss_gnt": (f"{FRAMES} --save_GNT_angle", "--use_ss_gnt", "summary"),
    "use_nonlinear_gnt": (
        f"{FRAMES} --save_GNT_angle --learning_rule=derivative_matrix",
        "--use_nonlinear_gnt",
        "summary",
    ),
    "make_dynamics_plot": ("", "--make_dynamics_plot", "status"),
    "plot_autoencoder_images": (
        f"--dataset=mnist_autoencoder --size_input=784 --size_output=784 --size_hidden=3 {BP}",
        "--plot_autoencoder_images",
        "status",
    ),
    "ndi": ("", "--ndi", NUMBERS),
    "alpha_di": ("", "--alpha_di=0.02", NUMBERS),
    "dt_di": ("", "--dt_di=0.09", NUMBERS),
    "dt_di_fb": (NORMAL, "--dt_di_fb=0.05", NUMBERS),
    "tmax_di": ("--tmax_di_fb=20", "--tmax_di=59", NUMBERS),
    "tmax_di_fb": (NORMAL, "--tmax_di_fb=19", NUMBERS),
    "epsilon_di": ("", "--epsilon_di=0.05", NUMBERS),
    "reset_K": ("", "--reset_K", NUMBERS),
    "initialization_K": ("", "--initialization_K=orthogonal --epochs_fb=0", NUMBERS),
    "noise_K": ("", "--noise_K=0.01", NUMBERS),
    "compare_with_ndi": ("", "--compare_with_ndi", "series summary"),
    "learning_rule": ("", "--learning_rule=voltage_difference", NUMBERS),
    "use_initial_activations": ("", "--use_initial_activations", NUMBERS),
    "c_homeostatic": ("--use_homeostatic_wd_fb", "--c_homeostatic=3", NUMBERS),
    "k_p": ("--k_p_fb=0.5", "--k_p=0.4", NUMBERS),
    "k_p_fb": (NORMAL, "--k_p_fb=0.1", NUMBERS),
    "inst_system_dynamics": ("--include_non_converged_samples", "--inst_system_dynamics", NUMBERS),
    "alpha_fb": (NORMAL, "--alpha_fb=0.4", NUMBERS),
    "noisy_dynamics": ("--include_non_converged_samples --sigma=0.001", "--noisy_dynamics", NUMBERS),
    "fb_learning_rule": ("", NORMAL, NUMBERS),
    "inst_transmission": ("!--inst_transmission --include_non_converged_samples", "--inst_transmission", NUMBERS),
    "inst_transmission_fb": (NORMAL, "--inst_transmission_fb", NUMBERS),
    "time_constant_ratio": ("--time_constant_ratio_fb=0.2", "--time_constant_ratio=0.25", NUMBERS),
    "time_constant_ratio_fb": (NORMAL, "--time_constant_ratio_fb=0.3", NUMBERS),
    "apical_time_constant": ("", "--apical_time_constant=0.15", NUMBERS),
    "apical_time_constant_fb": (NORMAL, "--apical_time_constant_fb=0.3", NUMBERS),
    "use_homeostatic_wd_fb": ("", "--use_homeostatic_wd_fb", NUMBERS),
    "efficient_controller": ("--grad_deltav_cont", "--efficient_controller", NUMBERS),
    "proactive_controller": (
        "!--proactive_controller --include_non_converged_samples",
        "--proactive_controller",
        NUMBERS,
    ),
    "simulate_layerwise": (f"!--inst_transmission {FIRST_ERROR} --tmax_di=200", "--simulate_layerwise", NUMBERS),
    "include_non_converged_samples": (PARTLY, "--include_non_converged_samples", NUMBERS),
    "backend": ("", "--backend=cupy", "status"),
    "device": ("", "--device=1", "status"),
    # One row cannot be shared out.
    "threads": ("--batch_size=1 --ndi --freeze_fb_weights", "--threads=2", "config"),
    "data_dir": ("--load_ST_dataset --data_dir={arrays}", "--data_dir=/nowhere", "status"),
    "train_samples": (IMAGES, "--train_samples=20", NUMBERS),
    "no_cuda": ("", "--no_cuda", "config"),
    "out_dir": ("", "--out_dir={elsewhere}", "place"),
    "load": ("before", "--load", "status"),
    "load_or_start": ("before", "--load_or_start", "status"),
    "overwrite": ("before", "--overwrite", "status"),
    "quiet": ("!--quiet", "--quiet", "out"),
    "sample0_error": (FIRST_ERROR, "--sample0_error=corrected", NUMBERS),
    "protocol": ("--clip_grad_norm=0.01", "--protocol=strong2022", NUMBERS),
    "strong_feedback": ("--include_non_converged_samples --lr=1e-5", "--strong_feedback", NUMBERS),
    "target_class_value": (IMAGES, "--target_class_value=0.9", NUMBERS),
    "output_sigma": (STRONG, "--output_sigma=0.2", NUMBERS),
    "low_pass_filter_noise": ("--noisy_dynamics --include_non_converged_samples", "--low_pass_filter_noise", NUMBERS),
    "tau_noise": (STRONG, "--tau_noise=0.3", NUMBERS),
    "low_pass_filter_u": (STRONG, "--low_pass_filter_u", NUMBERS),
    "tau_f": (STRONG, "--tau_f=0.5", NUMBERS),
    "scaling_fb_updates": (STRONG, "--scaling_fb_updates", NUMBERS),
    "pretrain_without_controller": (STRONG, "--pretrain_without_controller", NUMBERS),
    "momentum_fb": ("--protocol=strong2022", "--momentum_fb=0.5", NUMBERS),
    "use_bp_updates": ("--lr=1e-3", "--use_bp_updates", NUMBERS),
    "use_jacobian_as_fb": (STRONG, "--use_jacobian_as_fb", NUMBERS),
    "min_acc": (f"{IMAGES} --epochs=5", "--min_acc=1", NUMBERS),
    "first_batches": ("", "--first_batches=2", NUMBERS),
    "start_from": ("", "--start_from=/nowhere", "status"),
    "teacher_size_hidden": ("", "--teacher_size_hidden=4", NUMBERS),
    "teacher_linear": ("--teacher_size_hidden=4", "--teacher_linear", NUMBERS),
    "data_random_seed": ("--teacher_size_hidden=4", "--data_random_seed=7", NUMBERS),
    "defects": (f"{STRONG} --time_constant_ratio_fb=0.3 --scaling_fb_updates", "--defects=none", NUMBERS),
    "save_H_angle": (STRONG, "--save_H_angle", "series summary"),
    "save_lu_loss": (STRONG, "--save_lu_loss", "series summary"),
    "save_ratio_ff_fb": (STRONG, "--save_ratio_ff_fb", "series summary"),
}
# The table cannot show these flags; their values say what does.
ELSEWHERE = {
    "nan_test": "needs weights beyond 1000: tests/cli/test_main_bad_ends.py",
    "make_dynamics_plot_interval": "needs pictures: below",
    "dry_run": "leaves no run: tests/cli/test_dry_run.py",
    "host_noise": "needs a GPU: tests/device/test_noise.py",
    "seeds": "leaves several runs: tests/cli/test_main_seeds.py",
}
# Flag: (what it is given, why it is there all the same).
WITHOUT_EFFECT = {
    "no_preprocessing_mnist": ("--no_preprocessing_mnist", "deprecated when published"),
    "train_parallel": ("--train_parallel", "dead when published (dfc.md L 38)"),
    "extra_fb_minibatches": ("--extra_fb_minibatches=3", "dead when published (dfc.md L 38)"),
    "beta_homeostatic": ("--beta_homeostatic=3", "dead when published (dfc.md L 38)"),
    "hpsearch": ("--hpsearch", "published: another place of the data; here --data_dir"),
    "multiple_hpsearch": ("--multiple_hpsearch", "published: another place of the data; here --data_dir"),
    "save_fb_statistics_init": ("--save_fb_statistics_init", "nearly redundant when published (dfc.md L 38)"),
    "cuda_deterministic": ("--cuda_deterministic", "of pytorch; runs are repeatable here anyway"),
    "fb_activation": ("--fb_activation=relu", "of DTP, which is no part of the suite"),
}
# Every published experiment gives it: a note would only be noise.
SILENT = ("fb_activation",)
ASPECTS = ("weights", "series", "summary", "files", "log", "status")


def test_every_flag_has_its_effect_here():
    """Fails for a new flag until somebody says what it changes."""
    named = [*EFFECTS, *ELSEWHERE, *WITHOUT_EFFECT]
    assert sorted(named) == sorted(FLAGS)


@pytest.fixture
def logged(monkeypatch):
    """Every (method, tag, value, step) that a run hands to TensorBoard."""
    found = []

    class EventFile:
        def __init__(self, *_, **__):
            pass

        def __getattr__(self, method):
            return lambda *args, **keywords: found.append((method, str(args), str(keywords)))

    monkeypatch.setattr(tensorboard, "EventFile", EventFile)
    return found


def observe(folder, logged):
    """What can be seen of a run: {aspect: anything comparable}."""
    found = [path for path in folder.iterdir() if (path / "DONE").exists()] if folder.exists() else []
    if not found:
        return {}
    (run,) = found
    saved, config = arrays(run), json.loads((run / "config.json").read_text())
    metrics = read_metrics(run) if (run / "metrics.csv").exists() else {}
    summary = json.loads((run / "results.json").read_text())
    for timed in (metrics, summary):
        timed.pop("seconds", None), timed.pop("avg_time_per_epoch", None), timed.pop("log_interval", None)
    with np.load(run / "results.npz", allow_pickle=False) as archive:
        summary |= {name: archive[name].tobytes() for name in archive.files}
    return {
        "weights": {name: array.tobytes() for name, array in saved.items()},
        "series": metrics,
        "summary": summary | {path.name: path.read_text() for path in run.glob("*_angles*.csv")},
        "files": {path.name: None for path in run.iterdir()}
        | {name: (array.shape, array.dtype) for name, array in saved.items()},
        "log": [entry for entry in logged if "time" not in entry[1]],
        "config": [config["device"], config["threads"]],
        "place": run.name,
    }


def stored_arrays(folder):
    """A folder with student-teacher arrays of the sizes of TINY."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for name, count in (("train", 20), ("test", 12), ("val", 10)):
        np.save(folder / f"{name}_x.npy", random.uniform(-1, 1, (count, 6)))
        np.save(folder / f"{name}_y.npy", random.uniform(-1, 1, (count, 3)))
    return folder


def words_of(text, **places):
    """A command line written with spaces between its words, lists in brackets kept whole."""
    return [word.format(**places) for word in re.findall(r"\S*\[[^]]*\]|\S+", text)]


@pytest.fixture
def run_line(tmp_path, monkeypatch, capsys, logged):
    """A function (words added to or, with "!", taken from TINY) -> what can be seen of that run."""
    # This is a machine without them.
    for package in ("cupy", "matplotlib"):
        monkeypatch.setitem(sys.modules, package, None)
    in_process(tmp_path, monkeypatch)
    places = {"arrays": stored_arrays(tmp_path / "arrays"), "elsewhere": tmp_path / "runs" / "elsewhere"}

    def run(*texts):
        words = [word for text in texts for word in words_of(text, **places)]
        kept = [word for word in TINY if f"!{word}" not in words]
        kept += [
            f"--out_dir={tmp_path / 'runs' / 'run'}",
            *(word for word in words if word[0] != "!" and word != "before"),
        ]
        logged.clear()
        capsys.readouterr()
        try:
            status = main.main(kept)
        except SystemExit as stop:
            status = stop.code
        out = re.sub(r"seconds \S+", "", capsys.readouterr().out)
        return {"status": status, "out": out} | observe(tmp_path / "runs", logged)

    run.clear = lambda: shutil.rmtree(tmp_path / "runs", ignore_errors=True)
    return run


@pytest.fixture(scope="module")
def known():
    """{command line without a flag: what can be seen of its run}; many flags share one."""
    return {}


def without_flag(base, run_line, known):
    if base not in known:
        known[base] = run_line(base)
        run_line.clear()
    return known[base]


@pytest.mark.parametrize("name", EFFECTS)
def test_flag_changes_what_it_is_for_and_nothing_else(name, run_line, known):
    base, flag, aspects = EFFECTS[name]
    if base == "before":
        assert run_line(base, "--overwrite")["status"] == 0
        without = run_line(base)
    else:
        without = without_flag(base, run_line, known)
    with_it = run_line(base, flag)
    if aspects == "status":
        assert {without["status"], with_it["status"]} == {0, 2}
        return
    assert (without["status"], with_it["status"]) == (0, 0)
    changed = [aspect for aspect in ASPECTS if without[aspect] != with_it[aspect]]
    assert changed == [aspect for aspect in ASPECTS if aspect in aspects.split()]
    for aspect in set(aspects.split()).difference(ASPECTS):
        assert without[aspect] != with_it[aspect]


@pytest.mark.parametrize("name", WITHOUT_EFFECT)
def test_flag_without_effect_has_none_and_says_so(name, run_line, known):
    flag, _ = WITHOUT_EFFECT[name]
    without, with_it = without_flag("", run_line, known), run_line(flag)
    for aspect in ASPECTS:
        assert without[aspect] == with_it[aspect], aspect
    noted = any(note for note in main.parse([*TINY, flag]).notes if f"--{name}" in note)
    assert noted == (name not in SILENT)


def test_pictures_of_the_dynamics_come_at_their_interval(tmp_path, monkeypatch):
    """One of the first batch of epochs 0, 2 and 4; how they look is not asked here."""
    call, drawn = in_process(tmp_path, monkeypatch), []
    figure = pytest.importorskip("matplotlib.figure").Figure
    monkeypatch.setattr(figure, "savefig", lambda self, path: drawn.append(str(path)))
    assert call("--make_dynamics_plot", "--make_dynamics_plot_interval=2", "--epochs=5", "--tmax_di=3") == 0
    name = r"run/_Epoch(\d)__\d{4}(_\d\d){2}__\d\d_\d\d_\d\d_\d{6}\.png$"
    assert [re.search(name, path)[1] for path in drawn] == ["0", "2", "4"]


# ---- values


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_runs_in_hidden_and_output_layers(activation, rule, tmp_path, monkeypatch):
    """DFA inverts its output: dfc.md F.2 has linear and sigmoid ones alone."""
    call = in_process(tmp_path, monkeypatch)
    output = "linear" if rule == "DFA" and activation not in ("linear", "sigmoid") else activation
    rate = "--lr=1e-6" if rule in ("BP", "Strong-DFC") else "--lr=0.001"
    assert call(*RULES[rule], f"--hidden_activation={activation}", f"--output_activation={output}", rate) == 0
    assert all(np.isfinite(array).all() for array in arrays(tmp_path / "run").values())


CHOICES = {
    "learning_rule": LEARNING_RULES,
    "initialization": INITIAL_W,
    "initialization_K": INITIAL_Q,
    "fb_learning_rule": Q_RULES,
    "optimizer": OPTIMISERS,
    "optimizer_fb": OPTIMISERS,
}


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_gives_other_numbers(name, tmp_path, monkeypatch):
    call = in_process(tmp_path, monkeypatch)
    found = set()
    for choice in CHOICES[name]:
        # The old rule of feedback learning needs it.
        rule = RULES["DFC-SSA"]
        assert call(*rule, f"--{name}={choice}", "--lr=0.001", "--lr_fb=1e-4", f"--out_dir={tmp_path / choice}") == 0
        saved = arrays(tmp_path / choice)
        assert all(np.isfinite(array).all() for array in saved.values())
        found.add(b"".join(saved[key].tobytes() for key in sorted(saved)))
    assert len(found) == len(CHOICES[name])


@pytest.mark.parametrize("rule", RULES)
def test_rates_by_layer(rule, tmp_path, monkeypatch):
    """One number a layer holds for its W and b; equal numbers are one number."""
    call = in_process(tmp_path, monkeypatch)
    for optimizer, scale in (("SGD", 1e-4), ("Adam", 1e-6), ("RMSprop", 1e-6)):
        base = [*RULES[rule], f"--optimizer={optimizer}", "--overwrite"]
        same = [
            arrays_of(call, tmp_path, *base, rates) for rates in (f"--lr={scale}", f"--lr=[{scale}, {scale}, {scale}]")
        ]
        assert same[0] == same[1]
        slow = arrays_of(call, tmp_path, *base, f"--lr=[{scale}, {scale / 2}, {scale}]")
        assert slow != same[0]
        start = arrays_of(call, tmp_path, *base, "--epochs=0", "--epochs_fb=0")
        assert all(slow[name] != start[name] for name in start if "feedback" not in name)
    by_layer = [*RULES[rule], "--optimizer=Adam", "--overwrite", "--lr=[1e-6, 1e-6, 1e-6]"]
    assert arrays_of(call, tmp_path, *by_layer, "--epsilon=[1e-8, 1e-8, 1e-8]") == arrays_of(call, tmp_path, *by_layer)
    assert arrays_of(call, tmp_path, *by_layer, "--epsilon=[1e-8, 1, 1e-8]") != arrays_of(call, tmp_path, *by_layer)


def arrays_of(call, folder, *words):
    assert call(*words) == 0
    return {name: array.tobytes() for name, array in arrays(folder / "run").items()}


# Flags, and the arrays that they may change in addition to Q.
OWNED = {
    "--only_train_first_layer": {"0Lweights", "0Lbiases"},
    "--freeze_forward_weights": set(),
    "--network_type=BP --lr=2e-5 --shallow_training": {"2Lweights", "2Lbiases"},
    "--network_type=BP --lr=2e-5 --only_train_first_layer": {"0Lweights", "0Lbiases"},
    "--no_bias --only_train_first_layer": {"0Lweights"},
    "--network_type=DFA --no_bias --only_train_first_layer --fix_grad_norm=0.1": {"0Lweights"},
    "--freeze_forward_weights --freeze_fb_weights_output": {"0Lfeedback", "1Lfeedback"},
}


@pytest.mark.parametrize("flags", OWNED)
def test_only_what_is_to_be_learned_moves(flags, tmp_path, monkeypatch):
    call = in_process(tmp_path, monkeypatch)
    start = arrays_of(call, tmp_path, *flags.split(), "--epochs=0", "--epochs_fb=0")
    end = arrays_of(call, tmp_path, *flags.split(), "--overwrite")
    moved = {name for name in start if start[name] != end[name]}
    assert moved - {"0Lfeedback", "1Lfeedback", "2Lfeedback"} == OWNED[flags] - {"0Lfeedback", "1Lfeedback"}
    if "freeze_fb_weights_output" in flags:
        assert moved == OWNED[flags]
        assert np.array_equal(arrays(tmp_path / "run")["2Lfeedback"], np.eye(3))


def test_momentum_is_for_q_in_rmsprop_alone(tmp_path, monkeypatch):
    """dfc.md E: feedback SGD has none."""
    call = in_process(tmp_path, monkeypatch)
    for optimiser in OPTIMISERS:
        base = [f"--optimizer_fb={optimiser}", "--freeze_forward_weights", "--overwrite"]
        found = [arrays_of(call, tmp_path, *base, f"--momentum={momentum}") for momentum in (0.0, 0.5)]
        assert (found[0] == found[1]) == (optimiser != "RMSprop")


def test_fixed_norm_is_the_length_of_the_first_step(tmp_path, monkeypatch):
    """dfc.md C.4: all gradients that the optimiser owns are scaled to one joint norm; SGD then moves by lr times it."""
    call = in_process(tmp_path, monkeypatch)
    # a nudge so large that the gradient, of length 0.02, is far above the 1e-6 that is added to it
    options = [
        "--batch_size=20",
        "--epochs=1",
        "--target_stepsize=0.1",
        "--lr=0.002",
        "--fix_grad_norm=0.3",
        *FIXED,
        "--ndi",
    ]
    for more in ([], ["--only_train_first_layer"]):
        call(*options, *more, "--epochs=0", "--overwrite")
        start = arrays(tmp_path / "run")
        assert call(*options, *more, "--overwrite") == 0
        moved = [array - start[name] for name, array in arrays(tmp_path / "run").items()]
        length = np.sqrt(sum((each**2).sum() for each in moved))
        # normalize_lr divides by target_stepsize.
        assert length == pytest.approx(0.3 * 0.002 / 0.1, rel=1e-3)


def test_clipped_gradients_have_bounded_steps(tmp_path, monkeypatch):
    """dfc.md C.4: every W and every b on its own."""
    call = in_process(tmp_path, monkeypatch)
    options = ["--batch_size=20", "--freeze_fb_weights"]
    call(*options, "--epochs=0")
    start = arrays(tmp_path / "run")
    assert call(*options, "--epochs=1", "--overwrite", "--clip_grad_norm=1e-6") == 0
    for name, array in arrays(tmp_path / "run").items():
        if "feedback" not in name:
            length = np.linalg.norm(array - start[name])
            # k = c / (|g| + 1e-6); |g| is some 1e-3 to 1e-2 here, so that next to nothing of the bound is lost
            assert 0.9 * 0.05 / 0.001 * 1e-6 < length <= 1.000001 * 0.05 / 0.001 * 1e-6, name


def test_dfa_clips_to_one_whatever_is_asked_and_backpropagation_never(tmp_path, monkeypatch):
    """dfc.md F.1, F.2; the nudge is so large that every gradient of DFA is longer than 1."""
    call = in_process(tmp_path, monkeypatch)
    for rule, rate in (("DFA", 0.01), ("BP", 1e-3)):
        options = [*RULES[rule], "--batch_size=20", "--target_stepsize=1000", f"--lr={1000 * rate}", "--overwrite"]
        start = arrays_of(call, tmp_path, *options, "--epochs=0")
        found = [arrays_of(call, tmp_path, *options, "--epochs=1", *clip) for clip in ([], ["--clip_grad_norm=0.01"])]
        assert found[0] == found[1]
        lengths = {
            name: np.linalg.norm(np.frombuffer(found[0][name]) - np.frombuffer(start[name])) / rate for name in start
        }
        if rule == "DFA":
            assert [value for name, value in lengths.items() if "feedback" not in name] == pytest.approx(
                [1.0] * 6, rel=1e-5
            )
        else:
            assert max(lengths.values()) > 1.1


def test_resetting_draws_new_feedback_each_epoch_but_the_first(tmp_path, monkeypatch):
    """dfc.md D.6; with step sizes of next to nothing Q stays what was drawn: another one each
    epoch, of the same kind."""
    call = in_process(tmp_path, monkeypatch)
    base = ["--lr_fb=1e-300", "--feedback_wd=0", "--initialization_K=xavier_normal", "--overwrite"]
    drawn = []
    for epochs in (0, 1, 2, 3):
        assert call(*base, "--reset_K", f"--epochs={epochs}") == 0
        drawn.append(arrays(tmp_path / "run")["0Lfeedback"])
        assert np.allclose(arrays(tmp_path / "run")["2Lfeedback"], np.eye(3), rtol=0, atol=1e-200)
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[1], drawn[2]) and not np.array_equal(drawn[2], drawn[3])
    assert call(*base, "--epochs=3") == 0
    assert np.array_equal(arrays(tmp_path / "run")["0Lfeedback"], drawn[0])


@pytest.mark.parametrize("rule", [*RULES["DFA"], "--ndi --freeze_fb_weights"])
def test_resetting_follows_the_forward_weights_where_feedback_is_fixed(rule, tmp_path, monkeypatch):
    """dfc.md I.2, 1: whether Q learns or not; as a product of the weights it is then that of the
    weights of the epoch before."""
    call = in_process(tmp_path, monkeypatch)
    base = [*rule.split(), "--initialization_K=weight_product", "--reset_K", "--overwrite"]
    assert call(*base, "--epochs=1") == 0
    weights = arrays(tmp_path / "run")
    assert call(*base, "--epochs=2") == 0
    found = arrays(tmp_path / "run")
    assert np.allclose(found["1Lfeedback"], weights["2Lweights"].T, rtol=1e-14, atol=0)
    assert np.allclose(found["0Lfeedback"], weights["1Lweights"].T @ weights["2Lweights"].T, rtol=1e-12, atol=1e-15)


def test_feedback_alone_does_not_depend_on_targets(tmp_path, monkeypatch):
    """dfc.md D.1: labels play no part in the feedback passes."""
    call = in_process(tmp_path, monkeypatch)
    places = [stored_arrays(tmp_path / name) for name in ("one", "other")]
    np.save(places[1] / "train_y.npy", 7.0 * np.load(places[1] / "train_y.npy"))
    for rule in ("normal_controller", "special_controller"):
        found = []
        for place in places:
            options = ["--load_ST_dataset", f"--data_dir={place}", f"--fb_learning_rule={rule}", "--overwrite"]
            found.append(arrays_of(call, tmp_path, *options, "--epochs=0", "--epochs_fb=2"))
        assert found[0] == found[1]


def test_float32_follows_float64(tmp_path, monkeypatch):
    call = in_process(tmp_path, monkeypatch)
    for rule, flags in RULES.items():
        found = []
        for precision in ([], ["--single_precision"]):
            place = tmp_path / f"{rule}{len(precision)}"
            options = (*flags, *precision, "--freeze_fb_weights", "--include_non_converged_samples", "--sigma=1e-7")
            assert call(*options, f"--out_dir={place}") == 0
            found.append(arrays(place))
        for name, double in found[0].items():
            # a difference of rates 1e-3 apart keeps four digits less than the rates, and the steps follow it
            assert np.abs(found[1][name] - double).max() <= 1e-3 * np.abs(double).max(), (rule, name)


# ---- one run, said in two ways

SAME = (
    ("--network_type=DFC-SSA", "--ndi"),
    ("--network_type=DFC-SS", ""),
    ("--inst_system_dynamics", "--inst_system_dynamics --simulate_layerwise"),
    ("--sigma=0.1", "--sigma=0.1 --sigma_fb=0.1 --sigma_output_fb=0.1"),
    ("--lr=50 !--normalize_lr", "--lr=0.05"),
    ("--size_hidden=5 --num_hidden=2", "--size_hidden=[5,5]"),
    ("--hidden_activation=relu", "--hidden_activation=['relu', 'relu']"),
    ("--epochs_fb=1.9 --extra_fb_epochs=0.9", "--epochs_fb=1"),
    ("--efficient_controller --sample0_error=corrected", ""),
    ("--time_constant_ratio=0.05", "--time_constant_ratio=0.1"),
    ("--nan_test=symmetric", ""),
    ("--evaluate", ""),
)


@pytest.mark.parametrize("one, other", SAME)
def test_two_ways_of_saying_the_same_give_the_same_bits(one, other, run_line):
    first = run_line(one)
    run_line.clear()
    second = run_line(other)
    assert first["status"] == 0
    for aspect in ("weights", "series", "summary", "files"):
        assert first[aspect] == second[aspect]


# ---- help


def test_help_comes_at_once():
    """0.5 s are meant; 1.5 s because busy machines run this too.  It fails if the program loads data
    before it knows what for."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "main.py", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        times.append(time.perf_counter() - start)
        assert (done.returncode, done.stderr) == (0, "")
        if times[-1] < 0.5:
            break
    assert min(times) <= 1.5
    assert all(f"--{name}" in done.stdout for name in FLAGS)


MEASURED = tuple(f"series_{name}" for name in ("dist_to_NDI", "lu_angle", "loss_lu", "ratio_ff_fb", "gn_condition"))


def test_measuring_changes_nothing_that_is_learned(run_line, tmp_path):
    """All measurements at once; they may say no word about the numbers, and a checkpoint goes on without them."""
    flags = [name for name in FLAGS if name.startswith("save_") and name != "save_fb_statistics_init"]
    every = " ".join(f"--{name}" for name in (*flags, "compute_gn_condition_init", "compare_with_ndi", "use_ss_gnt"))
    without = run_line("")
    plain = checkpoint(tmp_path / "runs" / "run")
    run_line.clear()
    with_all = run_line(f"{every} --log_interval=1")
    assert (without["status"], with_all["status"]) == (0, 0)
    assert without["weights"] == with_all["weights"]
    assert {name: with_all["series"][name] for name in without["series"]} == without["series"]
    measured = checkpoint(tmp_path / "runs" / "run")
    own = {name: array for name, array in measured.items() if not name.startswith(("seen_", *MEASURED))}
    assert own == plain
