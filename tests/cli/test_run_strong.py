"""run_strong.py: the published command lines of Strong-DFC, flag by flag, and what main.py makes of them."""

import dataclasses
import json
import shlex
from pathlib import Path

import numpy as np
import pytest

import main
import run_strong
from configs import load, to_argv
from core.options import as_path
from dfc.draws import Draws
from dfc.settings.strong_flags import OPPOSITE, OWNERS, PROGRAMS, RENAMED, WITHOUT_EFFECT, StrongOptions
from rules import strong_dfc_2phase
from tests.faults.tiny_main import in_process, install
from tests.runs_for_tests import resolved

REFERENCE = Path(__file__).parent.parent / "reference"
PUBLISHED = {flag["dest"]: flag for flag in json.loads((REFERENCE / "strong_dfc_cli.json").read_text())}
COMMANDS = {
    name.rpartition(".")[2]: command
    for name, command in json.loads((REFERENCE / "strong_dfc_configs.json").read_text()).items()
    if name != "_note"
}
FIELDS = {field.name: field for field in dataclasses.fields(StrongOptions)}
SCRIPTS = {"BP": "bp", "DFA": "dfa", "DFC": "dfc", "DFC_single_phase": "dfc_single_phase"}
STUDENT = (
    "--dataset=student_teacher --teacher_n_in=6 --teacher_n_out=3 --teacher_num_train=24 --teacher_num_test=12 "
    "--teacher_num_val=10 --batch_size=8 --size_hidden=7,5 --hidden_activation=tanh --double_precision --threads=1 "
    "--quiet"
)
CONTROL = "--tmax_di=20 --dt_di=0.02 --time_constant_ratio=0.1 --tau_f=0.5 --k_p=0.5 --inst_transmission --lr_fb=1e-5"
RUNS = {
    "bp": "--lr=5e-3",
    "dfa": "--lr=5e-3",
    "dfc": f"{CONTROL} --target_stepsize=0.1 --lr=0.1",
    "dfc --ss": f"{CONTROL} --strong_feedback --lr=2e-3",
    "dfc --ssa": f"{CONTROL} --target_stepsize=0.1 --lr=0.02",
    "dfc_single_phase": f"{CONTROL} --target_stepsize=0.1 --lr=0.1 --sigma=0.01",
    "dfc_single_phase --strong_feedback": f"{CONTROL} --extra_fb_epochs=1 --lr=2e-3",
}


def settings_of(words):
    return resolved(run_strong.command(shlex.split(words)))


def published_words(command):
    """The command line as it was published, of a recorded one."""
    words = [SCRIPTS[command["_program"]]]
    for name, value in command.items():
        if not name.startswith("_"):
            text = ",".join(map(str, value)) if isinstance(value, list) else value
            words.append(f"--{name}" if value is True else f"--{name}={text}")
    return words


# ---- the flags


def test_flags_are_the_published_ones():
    assert FIELDS.keys() == PUBLISHED.keys() and len(FIELDS) == 103


@pytest.mark.parametrize("name", PUBLISHED)
def test_flag_is_as_published(name):
    flag, field = PUBLISHED[name], FIELDS[name]
    assert field.default == (None if name == "out_dir" else flag["default"])
    kind = str if field.metadata["kind"] is as_path else field.metadata["kind"]
    assert kind.__name__ == ("int" if name == "checkpoint_interval" else flag["type"])
    if flag["choices"]:
        assert set(field.metadata["choices"]) == set(flag["choices"])
    owners = OWNERS.get(field.metadata["group"], tuple(PROGRAMS))
    assert set(owners) == {SCRIPTS[program] for program in flag["programs"]}


@pytest.mark.parametrize("name", COMMANDS)
def test_published_command_lines_run_as_they_stand(name):
    """Every value that the published program resolved is the one that main.py computes with; the
    config module says the same."""
    command = COMMANDS[name]
    settings = main.parse(run_strong.command(published_words(command)))
    for flag, value in command["_resolved"].items():
        if flag == "double_precision":
            assert settings.machine.precision == ("float64" if value else "float32")
        elif flag != "apical_time_constant" or command["_program"] == "DFC":
            assert settings.flags[RENAMED.get(flag, flag)] == value, flag
    module = f"configs.strong_dfc.{name}"
    assert main.result_settings(main.parse(to_argv(load(module)))) == main.result_settings(settings)
    assert f"{command['_published_test_accuracy']:g} %" in __import__(module, fromlist=["config"]).__doc__


def test_renamed_flags_exist_here_and_there():
    ours = {field.name for field in dataclasses.fields(run_strong.MainOptions)}
    assert RENAMED.keys() | OPPOSITE.keys() | set(WITHOUT_EFFECT) <= FIELDS.keys()
    assert set(RENAMED.values()) | set(OPPOSITE.values()) <= ours


def test_what_minus_one_and_limits_become():
    """What follows what; time constants are lowered to tau_f, steps to time constants, tau_A
    keeps the step as typed."""
    found = settings_of(
        "dfc --sigma=0.2 --k_p=0.3 --optimizer=Adam --momentum=0.4 --tau_f=0.5 --tau_noise=0.7 "
        "--time_constant_ratio=0.6 --dt_di=0.55 --dt_di_fb=0.52"
    )
    assert (found.sigma_fb, found.output_sigma, found.sigma_output_fb, found.k_p_fb) == (0.2, 0.2, 0.2, 0.3)
    assert (found.optimizer_fb, found.momentum_fb) == ("Adam", 0.4)
    assert (found.tau_noise, found.time_constant_ratio, found.time_constant_ratio_fb) == (0.5, 0.5, 0.5)
    assert (found.dt_di, found.dt_di_fb) == (0.5, 0.5)
    assert (found.apical_time_constant, found.apical_time_constant_fb) == (0.55, 0.52)


def test_there_are_as_many_hidden_layers_as_sizes():
    """One number is one layer, where main.py alone would make three layers of that size."""
    for words, hidden in (
        ("", (5,)),
        ("--size_hidden=6", (6,)),
        ("--size_hidden=6,4", (6, 4)),
        ("--size_hidden=7,7,7", (7, 7, 7)),
    ):
        assert settings_of(f"bp {words}").sizes == (784, *hidden, 10)


def test_without_a_step_size_no_feedback_weight_moves(tmp_path, monkeypatch):
    """The order and the noise stay as they are: what differs shows what the learning of Q is worth."""
    install(monkeypatch.setattr)
    words = shlex.split(
        f"dfc_single_phase --strong_feedback {CONTROL} {STUDENT} --lr=0.01 --lr_fb=0 --extra_fb_epochs=1"
    )
    for epochs in (0, 1):
        assert run_strong.main([*words, f"--epochs={epochs}", f"--out_dir={tmp_path / str(epochs)}"]) == 0
    for l in range(3):
        start, end = (np.load(tmp_path / str(epochs) / f"{l}Lfeedback.npy") for epochs in (0, 1))
        assert np.array_equal(start, end)


def test_strong_feedback_softens_labels():
    assert settings_of("dfc_single_phase --strong_feedback").target_class_value == 0.99
    assert settings_of("dfc_single_phase").target_class_value == 1.0
    assert settings_of("dfc --strong_feedback --target_class_value=0.9").target_class_value == 0.9


def test_a_trial_run_is_short():
    found = settings_of("dfc --test --epochs=7 --extra_fb_epochs=3 --init_fb_epochs=4")
    assert (found.epochs, found.epochs_fb, found.extra_fb_epochs, found.first_batches) == (1, 1, 1, 2)


def test_ideal_feedback_learns_no_feedback():
    found = settings_of("dfc_single_phase --use_jacobian_as_fb --extra_fb_epochs=2")
    assert (found.freeze_fb_weights, found.noisy_dynamics) == (True, False)
    assert (found.epochs_fb, found.extra_fb_epochs) == (0, 0)
    assert found.initialization_K == "weight_product" and found.use_jacobian_as_fb


def test_two_phases_with_strong_feedback_are_a_rule_of_their_own():
    """Its published name stays DFC; the rule's own name means the same settings."""
    found = main.parse(run_strong.command(shlex.split("dfc --strong_feedback --ss")))
    assert (
        found.rule is strong_dfc_2phase.RULE and found.args["network_type"] == "DFC" and found.flags["aim"] == "label"
    )
    named = "--network_type=Strong-DFC-2phase --protocol=strong2022 --include_non_converged_samples --dataset=mnist"
    ends = "--output_activation=softmax --size_input=784 --size_output=10"
    words = shlex.split(f"{named} {ends}")
    by_flags = [word for word in words if "2phase" not in word]
    assert main.result_settings(main.parse(words)) == main.result_settings(main.parse([*by_flags, "--strong_feedback"]))
    for other, rule in (("--strong_feedback", "DFC"), ("--ss", "DFC-SS"), ("--ssa", "DFC-SSA")):
        assert main.parse(run_strong.command(["dfc", other])).rule.name == rule


# ---- runs


@pytest.mark.parametrize(
    "name", ["dfc_single_phase --strong_feedback --sigma=0.01", "dfc --strong_feedback --ss", "dfc"]
)
def test_updates_of_bp_are_those_of_bp(name, tmp_path, monkeypatch):
    """Not clipped, whatever is asked for; Q goes on learning, from noise and control."""
    install(monkeypatch.setattr)
    folders = [tmp_path / "control", tmp_path / "bp"]
    own = f"{CONTROL} --use_bp_updates --clip_grad_norm=1e-9 --init_fb_epochs=0 --target_stepsize=0.1"
    # passes of Q would shift the order of the others
    monkeypatch.setattr(Draws, "order", lambda draws, passed, count: np.random.default_rng(1).permutation(count))
    for words, folder in zip((f"{name} {own}", "bp"), folders, strict=True):
        shared = f"{STUDENT} --epochs=2 --lr=0.01 --momentum=0.5"
        assert run_strong.main([*shlex.split(f"{words} {shared}"), f"--out_dir={folder}"]) == 0
    for l in range(3):
        for kind in ("weights", "biases"):
            one, other = (np.load(folder / f"{l}L{kind}.npy") for folder in folders)
            np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-14)
    moved = [np.load(folders[0] / f"{l}Lfeedback.npy") for l in range(3)]
    assert np.abs(moved[-1] - np.eye(3)).max() > 1e-7


@pytest.mark.parametrize("name", RUNS)
def test_every_program_lowers_the_loss(name, tmp_path, monkeypatch, capsys):
    install(monkeypatch.setattr)
    words = [*shlex.split(f"{name} {RUNS[name]} {STUDENT}"), "--epochs=8", f"--out_dir={tmp_path / 'run'}"]
    assert run_strong.main(words) == 0
    with np.load(tmp_path / "run" / "results.npz") as results:
        assert results["loss_train"][-1] < results["loss_train"][0]
    told = capsys.readouterr().err.splitlines()
    assert all("no sample converged" in line for line in told), (
        "so few time points are enough to learn, not to come to rest"
    )


def test_a_run_begins_with_the_weights_of_another(tmp_path, monkeypatch):
    call = in_process(tmp_path, monkeypatch)
    assert call("--epochs=1") == 0
    first = {path.name: np.load(path) for path in (tmp_path / "run").glob("*L*.npy")}
    again = tmp_path / "again"
    assert call("--epochs=0", f"--start_from={tmp_path / 'run'}", f"--out_dir={again}") == 0
    assert first and all(np.array_equal(np.load(again / name), array) for name, array in first.items())
    assert call("--size_hidden=[7, 4]", f"--start_from={tmp_path / 'run'}", f"--out_dir={tmp_path / 'other'}") == 2


@pytest.mark.parametrize("words", ("--teacher_size_hidden=4,3", "--defects=all", "--lr=1e-3,2e-3,3e-3"))
def test_a_run_with_lists_continues(words, tmp_path, monkeypatch, capsys):
    install(monkeypatch.setattr)
    command = shlex.split(f"bp --lr=1e-3 {STUDENT} {words} --load_or_start --out_dir={tmp_path / 'run'}")
    for epochs in (1, 2):
        assert run_strong.main([*command, f"--epochs={epochs}"]) == 0, capsys.readouterr().err
    with np.load(tmp_path / "run" / "results.npz") as results:
        assert len(results["loss_train"]) == 2
    assert run_strong.main([*command, "--epochs=3", "--teacher_size_hidden=2,2", "--defects=none"]) == 2


def test_the_least_accuracy_ends_a_run(tmp_path, monkeypatch, capsys):
    call = in_process(tmp_path, monkeypatch)
    images = ["--dataset=mnist", "--output_activation=softmax", "--size_input=784", "--size_output=10"]
    assert call(*images, "--protocol=strong2022", "--min_acc=1", "--epochs=9") == 0
    assert "stopped after epoch 4: the training accuracy is below 1 after 4 epochs or more" in capsys.readouterr().out


BAD = {
    "": "the following arguments are required: program",
    "dtp": "argument program: invalid choice: 'dtp'",
    "bp --lr_fb=0.1": "--lr_fb: does not apply to bp, only to dfc and dfc_single_phase",
    "dfc --only_train_first_layer": "--only_train_first_layer: does not apply to dfc, only to bp",
    "dfc_single_phase --apical_time_constant_fb=1": (
        "--apical_time_constant_fb: does not apply to dfc_single_phase, only to dfc"
    ),
    "dfc_single_phase --ss": "--ss: does not apply to dfc_single_phase, which always learns from the average over time",
    "dfc --ssa --strong_feedback": "--ssa: does not go together with --strong_feedback",
    "dfc --error_as_loss_grad": "--error_as_loss_grad: needs --strong_feedback, which implies it",
    "dfc_single_phase --use_jacobian_as_fb --noisy_dynamics": (
        "--use_jacobian_as_fb: does not go together with --noisy_dynamics"
    ),
    "dfc --pretrain_without_controller": (
        "--pretrain_without_controller: does not apply to dfc, only to dfc_single_phase"
    ),
    "bp --use_bp_updates": "--use_bp_updates: does not apply to bp, only to dfc and dfc_single_phase",
    "dfc --tau_f=1": "argument --tau_f: 1 is out of range: must be in (0, 1)",
    "dfc --target_class_value=0": "argument --target_class_value: 0 is out of range: must be in (0, 1]",
    "dfc --clip_grad_norm=-2": "argument --clip_grad_norm: -2 is out of range: must be in (0, inf) or -1",
    "bp --clip_grad_norm=0": "argument --clip_grad_norm: 0 is out of range: must be in (0, inf) or -1",
    "dfc --lr_fb=-1e-3": "--lr_fb=-1e-3: -1e-3 is out of range: must be in [0, inf)",
    "dfc --k_p_fb=-3": "argument --k_p_fb: -3 is out of range: must be in [0, inf) or -1",
    "dfc --sigma=-1": "argument --sigma: -1 is out of range: must be in [0, inf)",
    "dfc --tmax_di=1": "argument --tmax_di: 1 is out of range: must be in [2, inf)",
    "bp --colour=red": "--colour=red: there is no such option",
    "bp --defects=typo": "--defects=typo: 'typo' is not one of",
    "dfc --strong_feedback --include_only_converged_samples": (
        "--include_only_converged_samples: does not go together with"
    ),
    "bp --adam_epsilon=1,2": "--adam_epsilon=1,2: one number per layer needs an --lr with one number per layer",
    "dfc --teacher_size_hidden=5,0": "--teacher_size_hidden=5,0: a layer has at least one unit",
}


@pytest.mark.parametrize("words", BAD)
def test_mistakes_are_told_in_one_sentence(words, capsys):
    try:
        status = run_strong.main(shlex.split(words))
    except SystemExit as stop:
        status = stop.code
    error = capsys.readouterr().err
    assert status == 2 and error.startswith("run_strong.py: ") and error.count("\n") == 1
    assert BAD[words] in error
