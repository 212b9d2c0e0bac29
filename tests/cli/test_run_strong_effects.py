"""run_strong.py: every published flag changes the numbers that it is for, and no others; every data set; the run folder."""

import functools
import shlex
from types import SimpleNamespace

import numpy as np
import pytest

import run_strong
from dfc import tasks
from dfc.settings.strong_flags import OWNERS, PROGRAMS
from tests.cli.test_run_strong import CONTROL, FIELDS, REFUSED, STUDENT, SWEPT
from tests.faults.tiny_main import install

NEEDS = {  # what a flag needs to have an effect
    "adam_beta1": "--optimizer=Adam", "adam_beta2": "--optimizer=Adam", "adam_epsilon": "--optimizer=Adam",
    "adam_beta1_fb": "--optimizer_fb=Adam", "adam_beta2_fb": "--optimizer_fb=Adam", "adam_epsilon_fb": "--optimizer_fb=Adam",
    "sigma_init": "--initialization_fb=weight_product", "tau_noise": "--low_pass_filter_noise", "tau_f": "--low_pass_filter_u",
    "target_class_value": "--dataset=mnist", "sigma_output": "--noisy_dynamics",
}  # fmt: skip
VALUES = SWEPT | {"epochs": "2", "clip_grad_norm": "1e-3"}
NUMBERLESS = {  # they say where and how, not what
    "out_dir", "no_cuda", "loglevel_info", "deterministic_run", "no_plots", "save_checkpoints", "checkpoint_interval",
    "epoch_summary_interval", "compute_jacobian_at", "save_fb_statistics_init", "save_df",
}  # fmt: skip
# they need longer runs, other folders or samples at rest, or are on in every run here: see test_run_strong.py and tests/reference
ELSEWHERE = {
    "min_acc", "pretrained_net_dir", "double_precision", "inst_transmission", "epsilon_di", "dataset", "error_as_loss_grad",
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


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A function (program, what a flag needs): the numbers of a run without the flag; run once each."""
    return functools.cache(lambda program, context: run(program, context, tmp_path_factory.mktemp(program)))


@pytest.mark.parametrize("name", [name for name in FIELDS if name not in ELSEWHERE | {"out_dir"}])
def test_a_flag_changes_what_it_is_for(name, plain, tmp_path, monkeypatch):
    install(monkeypatch.setattr)
    field = FIELDS[name]
    choices = [each for each in field.metadata["choices"] or () if each not in (field.default, "linear")]
    value = "" if field.default is False else f"={choices[-1] if choices else VALUES[name]}"
    for program in OWNERS.get(field.metadata["group"], tuple(PROGRAMS)):
        if (name, program) in REFUSED:
            continue
        context = NEEDS.get(name, "")
        same = plain(program, context) == run(program, f"{context} --{name}{value}", tmp_path / program)
        assert same == (name in NUMBERLESS or (name, program) in IDLE), program


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
    assert "give --load to continue it or --overwrite to start again" in capsys.readouterr().err and numbers(folder) == before
    assert run_strong.main([*words, f"--out_dir={folder}", "--random_seed=5", "--overwrite"]) == 0
    assert numbers(folder) != before
