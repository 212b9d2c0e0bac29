"""run_strong.py: every published flag changes the numbers that it is for, and no others; every
data set; the run folder."""

import functools
import shlex
from types import SimpleNamespace

import numpy as np
import pytest

import run_strong
from dfc import tasks
from dfc.settings.strong_flags import OWNERS, PROGRAMS
from tests.cli.test_run_strong import CONTROL, FIELDS, STUDENT
from tests.faults.tiny_main import install

# What a flag needs to have an effect.
NEEDS = {
    "adam_beta1": "--optimizer=Adam", "adam_beta2": "--optimizer=Adam", "adam_epsilon": "--optimizer=Adam",
    "adam_beta1_fb": "--optimizer_fb=Adam", "adam_beta2_fb": "--optimizer_fb=Adam",
    "adam_epsilon_fb": "--optimizer_fb=Adam", "sigma_init": "--initialization_fb=weight_product",
    "tau_noise": "--low_pass_filter_noise", "tau_f": "--low_pass_filter_u",
    "target_class_value": "--dataset=mnist", "sigma_output": "--noisy_dynamics",
}  # fmt: skip
# These flags are neither switches nor choices; the short network learns with all of them.
VALUES = {
    "random_seed": "7", "checkpoint_interval": "3", "pretrained_net_dir": "/nowhere",
    "epoch_summary_interval": "3", "epochs": "2", "batch_size": "6", "clip_grad_norm": "1e-3",
    "min_acc": "0.1", "lr": "1e-3,2e-3,3e-3", "momentum": "0.3", "weight_decay": "0.01",
    "adam_beta1": "0.8", "adam_beta2": "0.8", "adam_epsilon": "1e-6", "target_class_value": "0.9",
    "teacher_num_train": "20", "teacher_num_test": "9", "teacher_num_val": "9", "teacher_n_in": "4",
    "teacher_n_out": "2", "teacher_size_hidden": "3,2", "data_random_seed": "5", "size_hidden": "4,3",
    "hidden_activation": "relu", "lr_fb": "1e-6", "momentum_fb": "0.2", "weight_decay_fb": "0.1",
    "adam_beta1_fb": "0.8", "adam_beta2_fb": "0.8", "adam_epsilon_fb": "1e-6", "tau_noise": "0.2",
    "target_stepsize": "0.2", "sigma_init": "0.1", "init_fb_epochs": "2", "lr_fb_init": "1e-6", "extra_fb_epochs": "1",
    "epsilon_di": "0.3", "tau_f": "0.7", "dt_di": "0.03", "tmax_di": "12", "time_constant_ratio": "0.2",
    "sigma": "0.03", "sigma_output": "0.04", "alpha_di": "0.1", "k_p": "0.2", "apical_time_constant": "0.3",
    "dt_di_fb": "0.03", "tmax_di_fb": "9", "time_constant_ratio_fb": "0.3", "sigma_fb": "0.03",
    "sigma_output_fb": "0.04", "alpha_di_fb": "0.2", "k_p_fb": "0.1", "apical_time_constant_fb": "0.3",
}  # fmt: skip
# (flag, program): the reason.
REFUSED = {
    ("pretrained_net_dir", None): "--pretrained_net_dir=/nowhere: /nowhere/0Lweights.npy cannot be read",
    ("error_as_loss_grad", None): "needs --strong_feedback",
    ("min_acc", None): "--min_acc=0.1: applies to classifications only",
    ("ss", "dfc_single_phase"): "does not apply to dfc_single_phase",
    ("ssa", "dfc_single_phase"): "does not apply to dfc_single_phase",
    ("pretrain_without_controller", "dfc"): "does not apply to dfc, only to dfc_single_phase",
}
# They say where and how, not what.
NUMBERLESS = {
    "out_dir", "no_cuda", "loglevel_info", "deterministic_run", "no_plots", "save_checkpoints", "checkpoint_interval",
    "epoch_summary_interval", "compute_jacobian_at", "save_fb_statistics_init", "save_df",
}  # fmt: skip
# they need longer runs, other folders or samples at rest, or are on in every run here: see
# test_run_strong.py and tests/reference
ELSEWHERE = {
    "min_acc", "pretrained_net_dir", "double_precision", "inst_transmission",
    "epsilon_di", "dataset", "error_as_loss_grad",
}  # fmt: skip
IDLE = {("apical_time_constant", "dfc_single_phase"), ("noisy_dynamics", "dfc_single_phase")}
IDLE |= {("low_pass_filter_noise", "dfc_single_phase")}


def numbers(folder):
    """Every array and table of a run but its time."""
    found = {path.name: path.read_bytes() for path in folder.glob("*.npy")}
    found |= {path.name: path.read_bytes() for path in folder.glob("*angles*.csv")}
    with np.load(folder / "results.npz") as results:
        return found | {name: results[name].tobytes() for name in results.files if name != "seconds"}


def run(program, words, folder):
    control = f"{CONTROL} --sigma=0.02" if program.startswith("dfc") else ""
    line = f"{program} --lr=1e-3 {STUDENT} --epochs=1 {control} {words} --out_dir={folder}"
    assert run_strong.main(shlex.split(line)) == 0
    return numbers(folder)


def value_of(name):
    """A value of a flag that is not its default, as its end on a command line."""
    field = FIELDS[name]
    choices = [each for each in field.metadata["choices"] or () if each not in (field.default, "linear")]
    return "" if field.default is False else f"={choices[-1] if choices else VALUES[name]}"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A function (program, what a flag needs): the numbers of a run without the flag; run once each."""
    return functools.cache(lambda program, context: run(program, context, tmp_path_factory.mktemp(program)))


@pytest.mark.parametrize("name", [name for name in FIELDS if name not in ELSEWHERE | {"out_dir"}])
def test_a_flag_changes_what_it_is_for(name, plain, tmp_path, monkeypatch):
    install(monkeypatch.setattr)
    for program in OWNERS.get(FIELDS[name].metadata["group"], tuple(PROGRAMS)):
        if (name, program) in REFUSED:
            continue
        context = NEEDS.get(name, "")
        same = plain(program, context) == run(program, f"{context} --{name}{value_of(name)}", tmp_path / program)
        assert same == (name in NUMBERLESS or (name, program) in IDLE), program


NOT_COMPARED = {name for name, _ in REFUSED} | (ELSEWHERE - {"dataset"})


@pytest.mark.parametrize("name", sorted(NOT_COMPARED))
def test_every_other_flag_works_or_is_refused_with_a_reason(name, tmp_path, monkeypatch, capsys):
    """One epoch by every program that has the flag, with a value that is not its default."""
    install(monkeypatch.setattr)
    for program in OWNERS.get(FIELDS[name].metadata["group"], tuple(PROGRAMS)):
        words = shlex.split(f"{program} --lr=1e-4 {STUDENT} --epochs=1 {CONTROL if program.startswith('dfc') else ''}")
        folder = tmp_path / program
        try:
            status = run_strong.main([*words, f"--out_dir={folder}", f"--{name}{value_of(name)}"])
        except SystemExit as stop:
            status = stop.code
        error = capsys.readouterr().err
        why = REFUSED.get((name, program), REFUSED.get((name, None)))
        assert status == (0 if why is None else 2), error
        assert why is None or (error.count("\n") == 1 and why in error)
        assert (folder / "results.npz").exists() == (why is None)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("dataset", FIELDS["dataset"].metadata["choices"])
def test_every_data_set(dataset, program, tmp_path, monkeypatch):
    install(monkeypatch.setattr)
    images = tasks.datasets.load("mnist")
    wide = {name: np.repeat(getattr(images, name), 4, axis=1)[:, :3072] for name in ("train_images", "test_images")}
    colours = SimpleNamespace(**(vars(images) | wide))
    monkeypatch.setattr(tasks.cifar10, "load", lambda folder: colours)
    words = f"--dataset={dataset} " + "--tmax_di=4" * program.startswith("dfc")
    found = run(program, words, tmp_path / "run")
    assert ("acc_test" in found) == (dataset in ("mnist", "fashion_mnist", "cifar10"))


def test_the_run_folder(tmp_path, monkeypatch, capsys):
    """Without --out_dir a new one; an old one is neither asked about nor lost."""
    install(monkeypatch.setattr)
    monkeypatch.chdir(tmp_path)
    words = shlex.split(f"bp --lr=1e-3 {STUDENT} --epochs=1")
    assert run_strong.main(words) == 0
    (folder,) = (tmp_path / "logs" / "runs").iterdir()
    before = numbers(folder)
    assert run_strong.main([*words, f"--out_dir={folder}", "--random_seed=5"]) == 2
    assert (
        "give --load to continue it or --overwrite to start again" in capsys.readouterr().err
        and numbers(folder) == before
    )
    assert run_strong.main([*words, f"--out_dir={folder}", "--random_seed=5", "--overwrite"]) == 0
    assert numbers(folder) != before
