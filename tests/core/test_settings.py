"""The published command line: flags, abbreviations, lists, what stands for what, what is
refused (dfc.md J, B.10, L)."""

import argparse
import dataclasses
import itertools
import json
import re
from pathlib import Path

import pytest

import main
import run_config
import run_seed_robustness
import run_strong
from core.options import Parser, UsageError, add_arguments, as_path
from dfc.measures.table import LAST_PRETRAINING, MEASUREMENTS
from dfc.measures.watchers import chosen
from dfc.settings import resolve
from dfc.settings.checks import MISSING
from dfc.settings.flags import STRONG, SUITE, Options
from rules import FEEDBACK_NET_RULES
from tests.runs_for_tests import resolved as parse

PUBLISHED = {
    f["dest"]: f for f in json.loads((Path(__file__).parent.parent / "reference" / "dfc_cli.json").read_text())
}
FIELDS = {f.name: f for f in dataclasses.fields(Options)}
OURS = {
    "backend", "device", "threads", "data_dir", "seeds", "train_samples", "load",
    "load_or_start", "overwrite", "quiet", "dry_run", "sample0_error", "nan_test", "host_noise",
}  # fmt: skip
# The successor of the published program has them.
ADDED = [
    name for name, field in FIELDS.items() if field.metadata["group"] == STRONG
]
MNIST = ["--dataset=mnist", "--output_activation=softmax", "--size_input=784", "--size_output=10"]


# ---- the flags


def test_flags_are_the_published_ones_and_the_suites_own_in_order():
    assert [name for name in FIELDS if name not in OURS and name not in ADDED] == list(PUBLISHED)
    assert {name for name, field in FIELDS.items() if field.metadata["group"] == SUITE} == OURS
    assert OURS | set(ADDED) == FIELDS.keys() - PUBLISHED.keys()


@pytest.mark.parametrize("name", PUBLISHED)
def test_flag_is_as_published(name):
    flag, field = PUBLISHED[name], FIELDS[name]
    # The name that is made from the time comes later.
    default = None if name == "out_dir" else flag["default"]
    assert field.default == default and (default is None) == (field.default is None)
    # A path is text whose ~ has a meaning.
    kind = str if field.metadata["kind"] is as_path else field.metadata["kind"]
    assert kind.__name__ == flag["type"]
    assert field.metadata["group"] == flag["group"]
    # None cannot be typed.
    choices = set(flag["choices"] or ()) - {None}
    assert set(field.metadata["choices"] or ()) - {"DFC-SS", "DFC-SSA"} == choices


def test_a_run_without_flags_resolves():
    found = parse([])
    assert (found.rule.name, found.task, found.precision) == ("DFC-SS", "regression", "float64")
    assert (found.sizes, found.activations) == ((10, 5, 5, 5, 2), ("tanh", "tanh", "tanh", "linear"))
    assert (found.lr, found.lr_fb, found.lr_fb_init, found.epsilon, found.epsilon_fb) == (0.1, 0.1, 0.1, 1e-8, 1e-8)
    assert (found.gn_damping, found.steps, found.steps_fb, found.homeostatic) == (0.0, 300, 300, None)
    assert (found.notes, found.angles_wanted, found.out_dir) == ((), False, None)


def test_resolving_touches_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ends = ["--size_input=784", "--size_output=784"]
    parse(["--out_dir=here/there", "--dataset=mnist_autoencoder", "--plot_autoencoder_images", *ends])
    parse([])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FIELDS)
def test_whole_name_is_never_taken_for_an_abbreviation(name):
    """--sigma, --lr_fb, --load begin other flags too."""
    parser = Parser(abbreviated=FIELDS)
    add_arguments(parser, Options)
    field = FIELDS[name]
    if field.default is False:
        assert vars(parser.parse_args([f"--{name}"])) == {name: True}
    else:
        # the default of a path that stands for another place cannot be given
        value = field.default if field.default != "" else "somewhere"
        for argv in ([f"--{name}={value}"], [f"--{name}", str(value)]):
            assert vars(parser.parse_args(argv)) == {name: value}


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        # The published experiments use it.
        ("--sigma_output=0.25", "sigma_output_fb", 0.25),
        ("--data=student_teacher", "dataset", "student_teacher"),
        ("--tmax_di_f=7", "tmax_di_fb", 7),
        ("--load_ST", "load_ST_dataset", True),
        ("--norm", "normalize_lr", True),
    ],
)
def test_clear_abbreviation_is_understood(given, name, value):
    assert getattr(parse([given]), name) == value


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if field.metadata["group"] == SUITE])
def test_flags_that_are_not_published_are_written_in_full(name, capsys):
    """Whoever means another program's --seed does not get the folders of --seeds."""
    for end in range(2, len(name)):
        if name[:end] not in FIELDS and not any(other.startswith(name[:end]) for other in PUBLISHED):
            with pytest.raises(SystemExit) as stop:
                parse([f"--{name[:end]}=3"])
            assert stop.value.code == 2 and capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("script", [run_config, run_seed_robustness, run_strong])
def test_a_seed_is_never_read_as_seeds(script, capsys):
    with pytest.raises(SystemExit) as stop:
        raise SystemExit(script.main(["bp"] * (script is run_strong) + ["--seed=3"]))
    assert stop.value.code == 2
    assert f"{script.__name__}.py: --seed=3: there is no such option; did you mean --seeds?" in capsys.readouterr().err


def test_help_is_grouped_and_tells_meaning_range_and_default(capsys):
    with pytest.raises(SystemExit) as stop:
        parse(["--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    headings = ["dataset", "training", "adam", "network", "misc", "logging", "dynamical_inversion", "dfc", SUITE]
    places = [text.index(f"\n{heading}:\n") for heading in headings]
    assert places == sorted(places)
    flat = " ".join(text.split())
    assert "--dt_di_fb FLOAT Euler step while Q learns; -1: dt_di, in (0, inf) or -1; default -1.0" in flat
    assert (
        "--k_p_fb FLOAT proportional gain while Q learns; default: k_p, in [0, inf)" in flat
        and "default None" not in flat
    )
    assert "--lr LIST step size of W: one number, or one per layer, e.g. [0.1, 0.01], in (0, inf); default 0.1" in flat
    assert [name for name in FIELDS if f"\n  --{name}" not in text] == []


def test_help_tells_what_a_flag_acts_only_with(capsys):
    with pytest.raises(SystemExit):
        parse(["--help"])
    flat = " ".join(capsys.readouterr().out.split())
    assert (
        "--beta1_fb FLOAT Q: decay of the first moment, in [0, 1); default 0.99; only with --optimizer_fb=Adam" in flat
    )
    assert "no delay from layer to layer while Q learns; only with --fb_learning_rule=normal_controller" in flat
    needed = {field.metadata["needs"] for field in FIELDS.values()} - {None}
    assert needed == MISSING.keys() and all(f"; only with {need}" in flat for need in needed)


# ---- what stands for what (J.post 2 to 9)

STAND_INS = {
    "--dt_di=0.02": {"apical_time_constant": 0.02, "apical_time_constant_fb": 0.02, "dt_di_fb": 0.02},
    # It is not dt_di_fb, as published.
    "--dt_di=0.02 --dt_di_fb=0.05": {"apical_time_constant_fb": 0.02, "dt_di_fb": 0.05},
    "--apical_time_constant=0.3": {"apical_time_constant": 0.3, "apical_time_constant_fb": 0.1},
    "--apical_time_constant_fb=0.3": {"apical_time_constant": 0.1, "apical_time_constant_fb": 0.3},
    "--time_constant_ratio=0.7": {"time_constant_ratio": 0.7, "time_constant_ratio_fb": 0.7},
    # Both are raised to dt_di and dt_di_fb.
    "--time_constant_ratio=0.05": {
        "time_constant_ratio": 0.1,
        "time_constant_ratio_fb": 0.1,
    },
    "--time_constant_ratio=0.05 --dt_di_fb=0.01": {"time_constant_ratio": 0.1, "time_constant_ratio_fb": 0.05},
    "--time_constant_ratio_fb=0.05 --dt_di_fb=0.4": {"time_constant_ratio": 1.0, "time_constant_ratio_fb": 0.4},
    "--tmax_di=12": {"tmax_di_fb": 12, "steps": 12, "steps_fb": 12},
    # Halves are rounded to even.
    "--tmax_di=12.5": {"tmax_di": 12.5, "steps": 12, "tmax_di_fb": 12, "steps_fb": 12},
    "--tmax_di=13.5": {"steps": 14, "steps_fb": 13},
    "--tmax_di_fb=7.9": {"steps": 300, "steps_fb": 7},
    "--sigma=0.5": {"sigma_fb": 0.5, "sigma_output_fb": 0.5},
    "--sigma=0.5 --sigma_fb=0.25": {"sigma_fb": 0.25, "sigma_output_fb": 0.25},
    "--sigma_output_fb=0": {"sigma_fb": 0.08, "sigma_output_fb": 0.0},
    "--epochs_fb=2.9 --extra_fb_epochs=1.9": {"epochs_fb": 2, "extra_fb_epochs": 1},
    "--lr_fb=0.3": {"lr_fb": 0.3, "lr_fb_init": 0.3},
    "--lr_fb=0.3 --lr_fb_init=None": {"lr_fb_init": 0.3},
    "--lr_fb=0.3 --lr_fb_init=0.4": {"lr_fb": 0.3, "lr_fb_init": 0.4},
    "--k_p=2": {"k_p_fb": 2.0},
    "--k_p=2 --k_p_fb=0": {"k_p": 2.0, "k_p_fb": 0.0},
    "--out_dir=None": {"out_dir": None},
    "--out_dir=here": {"out_dir": "here"},
    "--network_type=DFA": {"freeze_fb_weights": True, "fb_activation": "linear"},
    "--network_type=DFA --fb_activation=tanh": {"fb_activation": "linear"},
    "--network_type=BP --fb_activation=tanh": {"freeze_fb_weights": False, "fb_activation": "tanh"},
    "--single_precision": {"precision": "float32"},
    "--no_cuda": {"backend": "numpy"},
    "--c_homeostatic=-1 --clip_grad_norm=-3 --fix_grad_norm=0": {
        "c_homeostatic": -1,
        "clip_grad_norm": -3,
        "fix_grad_norm": 0,
    },
    "--learning_rule=nonlinear_difference": {"use_nonlinear_gnt": True},
    "--learning_rule=voltage_difference": {"use_nonlinear_gnt": False},
    "--learning_rule=voltage_difference --use_nonlinear_gnt": {"use_nonlinear_gnt": True},
    "--network_type=DFA --learning_rule=nonlinear_difference": {"use_nonlinear_gnt": True},
    "--use_homeostatic_wd_fb --feedback_wd=0.3": {"homeostatic": 0.3, "feedback_wd": 0.0},
    "--feedback_wd=0.3": {"homeostatic": None, "feedback_wd": 0.3},
    "--ndi --save_eigenvalues_bcn": {"save_eigenvalues_bcn": False, "save_eigenvalues": True},
    "--save_eigenvalues_bcn": {"save_eigenvalues_bcn": True, "save_eigenvalues": False},
    "--gn_damping=1e-3": {"gn_damping": 0.001},
    "--reset_K": {"reset_K": True},
}


@pytest.mark.parametrize("argv", STAND_INS)
def test_what_stands_for_another_flag_becomes_its_value(argv):
    found = parse(argv.split())
    assert {name: getattr(found, name) for name in STAND_INS[argv]} == STAND_INS[argv]


@pytest.mark.parametrize("name", [name for name, flag in PUBLISHED.items() if flag["default"] == -1])
def test_minus_one_may_be_given_and_no_other_negative_number_unless_it_means_off(name, capsys):
    found, default = parse([f"--{name}=-1"]), parse([])
    found.notes = ()
    assert found == default
    if name in ("clip_grad_norm", "fix_grad_norm"):
        assert getattr(parse([f"--{name}=-2"]), name) == -2
    else:
        with pytest.raises(SystemExit):
            parse([f"--{name}=-2"])
        assert f"--{name}" in capsys.readouterr().err


def test_lr_is_divided_by_the_nudge_once():
    assert parse(["--lr=0.5", "--target_stepsize=0.25", "--normalize_lr"]).lr == 2.0
    assert parse(["--lr=0.5", "--target_stepsize=0.25"]).lr == 0.5
    found = parse(["--num_hidden=1", "--lr=[0.5, 1]", "--target_stepsize=0.25", "--normalize_lr", "--network_type=BP"])
    assert (found.lr, found.lr_fb) == ((2.0, 4.0), 0.1)


@pytest.mark.parametrize(
    ("argv", "rule", "network_type"),
    [
        ("", "DFC-SS", "DFC"),
        ("--ndi", "DFC-SSA", "DFC"),
        ("--grad_deltav_cont", "DFC", "DFC"),
        ("--network_type=DFC-SS", "DFC-SS", "DFC"),
        ("--network_type=DFC-SSA", "DFC-SSA", "DFC"),
        ("--network_type=DFC-SSA --ndi", "DFC-SSA", "DFC"),
        ("--network_type=BP", "BP", "BP"),
        ("--network_type=DFA", "DFA", "DFA"),
        # A published experiment does so.
        ("--network_type=DFA --ndi", "DFA", "DFA"),
    ],
)
def test_rule(argv, rule, network_type):
    found = parse(argv.split())
    assert (found.rule.name, found.args["network_type"]) == (rule, network_type)
    if network_type == "DFC":
        assert (found.ndi, found.grad_deltav_cont) == (rule == "DFC-SSA", rule == "DFC")


@pytest.mark.parametrize(
    ("dataset", "sizes", "task"),
    [
        ("mnist", (784, 10), "classification"),
        ("fashion_mnist", (784, 10), "classification"),
        ("cifar10", (3072, 10), "classification"),
        ("mnist_autoencoder", (784, 784), "autoencoder"),
        ("student_teacher", (3, 4), "regression"),
    ],
)
def test_task(dataset, sizes, task):
    output = "softmax" if task == "classification" else "sigmoid"
    ends = [f"--size_input={sizes[0]}", f"--size_output={sizes[1]}"]
    found = parse([f"--dataset={dataset}", f"--output_activation={output}", *ends])
    assert (found.task, found.sizes[0], found.sizes[-1]) == (task, *sizes)
    assert found.activations[-1] == ("linear" if output == "softmax" else "sigmoid")


ANGLES = [
    *(f"save_{kind}_angle" for kind in ("BP", "GN", "GNT", "NDI", "GN_GNT", "BP_GNT", "GNT_ss_no_ss")),
    "gn_damping_hpsearch", "save_nullspace_norm_ratio", "save_condition_gn",
]  # fmt: skip


@pytest.mark.parametrize("name", ANGLES)
def test_angles_need_a_place_to_go(name, capsys):
    assert parse([f"--{name}", "--save_df"]).angles_wanted and parse([f"--{name}", "--save_logs"]).angles_wanted
    with pytest.raises(SystemExit):
        parse([f"--{name}"])
    assert f"--{name}: needs --save_df or --save_logs" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["save_eigenvalues", "save_norm_r", "save_jac_t_angle", "save_jac_pinv_angle", "save_eigenvalues_bcn"]
)
def test_other_measurements_are_no_angles(name):
    assert not parse([f"--{name}"]).angles_wanted


# ---- lists

SIZES = {
    "--size_hidden=7": (7, 7, 7),
    # Brackets around one value mean nothing.
    "--size_hidden=[7]": (7, 7, 7),
    "--size_hidden=(7,)": (7, 7, 7),
    "--size_hidden=[7]|--num_hidden=1": (7,),
    "--size_hidden=7|--num_hidden=2": (7, 7),
    "--size_hidden=[256, 32, 256]": (256, 32, 256),
    "--size_hidden=256,32": (256, 32),
    "--size_hidden|[4,3]": (4, 3),
    "--size_hidden=( 4 , 3 )": (4, 3),
    "--size_hidden='[4, 3]'": (4, 3),
    "--size_hidden=[4, 3]|--num_hidden=2": (4, 3),
    "--num_hidden=2": (5, 5),
}


@pytest.mark.parametrize("argv", SIZES)
def test_hidden_sizes(argv):
    found = parse(argv.split("|"))
    assert found.sizes == (10, *SIZES[argv], 2)
    assert (found.size_hidden, found.num_hidden) == (SIZES[argv], len(SIZES[argv]))
    assert found.activations == ("tanh",) * len(SIZES[argv]) + ("linear",)


ACTIVATIONS = {
    "--hidden_activation=relu": ("relu",) * 3,
    "--hidden_activation=[relu]": ("relu",) * 3,
    "--hidden_activation=['tanh', 'linear', 'tanh']": ("tanh", "linear", "tanh"),
    '--hidden_activation=["tanh","linear","sigmoid"]': ("tanh", "linear", "sigmoid"),
    "--hidden_activation='tanh', 'leakyrelu', 'relu'": ("tanh", "leakyrelu", "relu"),
    "--hidden_activation=(relu, tanh)|--num_hidden=2": ("relu", "tanh"),
    "--hidden_activation=relu,tanh|--size_hidden=[4,3]": ("relu", "tanh"),
}


@pytest.mark.parametrize("argv", ACTIVATIONS)
def test_hidden_activations(argv):
    found = parse(argv.split("|"))
    assert found.hidden_activation == ACTIVATIONS[argv]
    assert found.activations == (*ACTIVATIONS[argv], "linear")


@pytest.mark.parametrize("optimizer", ["SGD", "RMSprop", "Adam"])
def test_step_sizes_and_epsilons_by_layer(optimizer):
    argv = ["--num_hidden=2", f"--optimizer={optimizer}"]
    found = parse([*argv, "--lr=[0.1, 0.2, 3e-1]", "--epsilon=(1e-8,1e-7, 0)"])
    assert (found.lr, found.epsilon) == ((0.1, 0.2, 0.3), (1e-8, 1e-7, 0.0))
    assert parse([*argv, "--lr=[0.1, 0.2, 0.3]"]).epsilon == 1e-8
    assert (parse([*argv, "--lr=[0.1]"]).lr, parse([*argv, "--epsilon=[1e-5]"]).epsilon) == (0.1, 1e-5)


# ---- args.txt (J.post 10)


def test_args_are_completed_but_not_read():
    """As they are before step 11: lists and step sizes still as text, lr not divided, decay not moved."""
    argv = [
        "--lr=[0.1, 0.2]",
        "--num_hidden=1",
        "--normalize_lr",
        "--use_homeostatic_wd_fb",
        "--dt_di=0.5",
        "--gn_damping=2",
    ]
    args = parse([*argv, "--network_type=DFC-SSA", "--backend=numpy"]).args
    assert args.keys() == PUBLISHED.keys()
    assert json.loads(json.dumps(args)) == args
    expected = {"lr": "[0.1, 0.2]", "lr_fb_init": "0.1", "feedback_wd": 0.01, "dt_di_fb": 0.5, "gn_damping": "2"}
    expected |= {
        "size_hidden": "5",
        "network_type": "DFC",
        "ndi": True,
        "use_nonlinear_gnt": False,
        "epochs_fb": 1,
        "k_p_fb": 0.0,
        "sigma_fb": 0.08,
    }
    assert {name: args[name] for name in expected} == expected


# ---- what is refused

REFUSED = {
    # lists and numbers
    "--lr=fast": ["--lr=fast", "'fast'", "a number"],
    "--lr=": ["--lr=", "a number"],
    "--lr=0": ["--lr=0", "(0, inf)"],
    "--lr=-0.1": ["--lr=-0.1", "(0, inf)"],
    "--lr=nan": ["--lr=nan", "(0, inf)"],
    "--lr=[0.1, 0.2]": ["--lr", "2 numbers", "4 layers"],
    "--lr=[0.1, 0.2, 0.3, 0.4, 0.5]": ["--lr", "5 numbers", "4 layers"],
    "--lr=[0.1, 0.2, 0.3, inf]": ["--lr", "inf", "(0, inf)"],
    "--lr=[0.1, 0.2, 0.3, ]]": ["--lr", "a number"],
    "--lr=[0.1 0.2 0.3 0.4]": ["--lr", "a number"],
    "--lr=[0.1, 0.2": ["--lr", "'[0.1'"],
    "--lr=1e300|--target_stepsize=1e-300|--normalize_lr": ["--target_stepsize=1e-300", "--lr"],
    "--epsilon=[1e-8, 1e-8, 1e-8, 1e-8]": ["--epsilon", "--lr"],
    "--epsilon=[1e-8, 1e-8]|--lr=[1, 1, 1, 1]": ["--epsilon", "2 numbers", "4 layers"],
    "--epsilon=-1e-8": ["--epsilon", "[0, inf)"],
    "--lr_fb=[0.1, 0.2]": ["--lr_fb", "one number"],
    "--lr_fb=-1": ["--lr_fb=-1", "[0, inf)"],
    "--lr_fb_init=[0.1, 0.2]": ["--lr_fb_init", "one number"],
    "--epsilon_fb=[1e-8, 1e-8]": ["--epsilon_fb", "one number"],
    "--gn_damping=[0.1, 0.2]": ["--gn_damping", "one number"],
    "--gn_damping=-0.1": ["--gn_damping", "[0, inf)"],
    # layers
    "--size_hidden=0": ["--size_hidden=0", "[1, inf)"],
    "--size_hidden=[256, -3, 256]": ["--size_hidden", "-3", "[1, inf)"],
    "--size_hidden=[256, 3.5, 256]": ["--size_hidden", "'3.5'", "whole number"],
    "--size_hidden=[]": ["--size_hidden", "whole number"],
    "--size_hidden=[4, , 4]": ["--size_hidden", "whole number"],
    "--size_hidden=[4, 3]|--num_hidden=3": ["--size_hidden", "2 sizes", "--num_hidden=3"],
    "--size_hidden=[4, 3]|--hidden_activation=[tanh, tanh, tanh]": [
        "--hidden_activation",
        "3 activations",
        "2 hidden layers",
    ],
    "--hidden_activation=[tanh, tanh]": ["--hidden_activation", "2 activations", "3 hidden layers", "--num_hidden"],
    "--hidden_activation=swish": ["--hidden_activation=swish", "'swish'", "tanh, relu"],
    "--hidden_activation=[tanh, softmax, tanh]": ["--hidden_activation", "'softmax'"],
    "--num_hidden=0": ["--num_hidden", "0", "[1, 10000]"],
    "--num_train=1000000000000000000000": ["--num_train", "[1, 1000000000]"],
    "--num_test=0": ["--num_test", "[1, 1000000000]"],
    "--num_val=2000000000": ["--num_val", "[1, 1000000000]"],
    "--epochs_fb=1e300": ["--epochs_fb", "[0, 1000000]"],
    "--extra_fb_epochs=1e15": ["--extra_fb_epochs", "[0, 1000000]"],
    # tasks
    "--dataset=mnist|--size_input=784|--size_output=10": ["--output_activation=linear", "softmax", "mnist"],
    "--dataset=cifar10|--output_activation=tanh": ["--output_activation=tanh", "softmax", "cifar10"],
    "--output_activation=softmax": ["--output_activation=softmax", "student_teacher"],
    "--dataset=mnist_autoencoder|--output_activation=softmax": ["--output_activation=softmax", "mnist_autoencoder"],
    "--dataset=mnist|--output_activation=softmax": ["--size_input=10", "784", "mnist"],
    "--dataset=mnist|--output_activation=softmax|--size_input=784|--size_output=11": [
        "--size_output=11",
        "10",
        "mnist",
    ],
    "--dataset=cifar10|--output_activation=softmax|--size_input=1024|--size_output=10": ["--size_input=1024", "3072"],
    "--dataset=mnist_autoencoder|--size_input=784|--size_output=10": ["--size_output=10", "784"],
    "--plot_autoencoder_images": ["--plot_autoencoder_images", "student_teacher", "mnist_autoencoder"],
    # rules
    "--ndi|--grad_deltav_cont": ["--grad_deltav_cont", "--ndi"],
    "--network_type=DFC-SS|--ndi": ["--ndi", "--network_type=DFC-SS"],
    "--network_type=DFC-SS|--grad_deltav_cont": ["--grad_deltav_cont", "--network_type=DFC-SS"],
    "--network_type=DFC-SSA|--grad_deltav_cont": ["--grad_deltav_cont", "--network_type=DFC-SSA"],
    "--network_type=Strong-DFC|--ndi": ["--ndi", "Strong-DFC", "one simulation"],
    "--network_type=Strong-DFC|--grad_deltav_cont": ["--grad_deltav_cont", "Strong-DFC", "one simulation"],
    "--network_type=Strong-DFC|--tmax_di_fb=1": ["--tmax_di_fb=1", "2 time points"],
    "--network_type=BP|--min_acc=0.5": ["--min_acc=0.5", "classifications only"],
    "--network_type=DTP": ["--network_type=DTP", "not part of this suite"],
    "--network_type=GAIT": ["--network_type", "GAIT", "DFC-SSA"],
    "--shallow_training": ["--shallow_training", "--network_type=DFC", "BP"],
    "--network_type=DFA|--shallow_training": ["--shallow_training", "--network_type=DFA", "BP"],
    "--network_type=BP|--shallow_training|--only_train_first_layer": ["--shallow_training", "--only_train_first_layer"],
    "--network_type=DFA|--output_activation=tanh": ["--output_activation=tanh", "DFA", "linear, sigmoid"],
    # the controller
    "--k_p=-1": ["--k_p", "-1", "[0, inf)"],
    "--k_p_fb=-1": ["--k_p_fb", "-1", "[0, inf)"],
    "--fb_learning_rule=old_learning_rule": ["--fb_learning_rule=old_learning_rule", "--ndi"],
    "--c_homeostatic=0": ["--c_homeostatic", "0", "(0, inf) or -1"],
    "--tmax_di=1": ["--tmax_di=1", "2 time points"],
    "--tmax_di=1.4": ["--tmax_di=1.4", "2 time points"],
    "--grad_deltav_cont|--tmax_di=1": ["--tmax_di=1", "2 time points"],
    "--tmax_di_fb=1.9|--fb_learning_rule=normal_controller": ["--tmax_di_fb=1", "2 time points"],
    "--tmax_di=0": ["--tmax_di", "0", "(0, inf)"],
    "--dt_di=0": ["--dt_di", "0", "(0, inf)"],
    "--sigma=-1": ["--sigma", "-1", "[0, inf)"],
    "--target_stepsize=0": ["--target_stepsize", "0", "(0, inf)"],
    "--alpha_di=inf": ["--alpha_di", "inf", "[0, inf)"],
    # training
    "--batch_size=0": ["--batch_size", "0", "[1, inf)"],
    "--epochs=-1": ["--epochs", "-1", "[0, inf)"],
    "--epochs=1.5": ["--epochs", "1.5", "whole number"],
    "--beta1=1": ["--beta1", "[0, 1)"],
    "--momentum=-0.1": ["--momentum", "[0, 1)"],
    "--optimizer_fb=None": ["--optimizer_fb", "'None'", "SGD"],
    "--log_interval=0": ["--log_interval", "0", "[1, inf)"],
    "--random_seed=-1": ["--random_seed", "-1", "[0, inf)"],
    # machine and files
    "--load|--overwrite": ["--overwrite", "--load"],
    "--load_or_start|--overwrite": ["--overwrite", "--load_or_start"],
    "--no_cuda|--backend=cupy": ["--no_cuda", "--backend=cupy"],
    "--no_cuda|--device=1": ["--device=1", "--no_cuda"],
    "--backend=numpy|--device=1": ["--device=1", "--backend=numpy"],
    "--backend=cupy|--threads=2": ["--threads=2", "--backend=cupy"],
    "--threads=65": ["--threads", "65", "[0, 64]"],
    "--out_dir=": ["--out_dir", "name of a folder"],
    "--nan_test=never": ["--nan_test", "never", "symmetric"],
    # spelling
    "--save_BP": ["--save_BP", "save_BP_angle", "save_BP_GNT_angle"],
    "--epochz=3": ["--epochz=3", "--epochs"],
    "--ndi=True": ["--ndi", "True"],
    "word": ["word"],
}


@pytest.mark.parametrize("argv", REFUSED)
def test_mistake_is_refused_in_one_sentence_with_status_2(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(argv.split("|"))
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("main.py: ")
    assert [word for word in REFUSED[argv] if word not in line] == [], line


# These are the neighbours of what is refused.
ACCEPTED = [
    # Nothing is simulated.
    "--ndi --tmax_di=1 --freeze_fb_weights",
    "--tmax_di=2",
    "--tmax_di=1.6",
    # special_controller simulates nothing.
    "--tmax_di_fb=1",
    "--tmax_di_fb=1 --fb_learning_rule=normal_controller --freeze_fb_weights",
    "--fb_learning_rule=old_learning_rule --ndi",
    "--fb_learning_rule=old_learning_rule --network_type=DFC-SSA",
    "--fb_learning_rule=old_learning_rule --freeze_fb_weights",
    "--network_type=BP --shallow_training",
    "--network_type=DFA --output_activation=sigmoid",
    "--network_type=BP --output_activation=relu",
    "--epochs=0 --epochs_fb=0",
    "--size_hidden=[4,3] --num_hidden=2 --hidden_activation=[relu,tanh]",
]


@pytest.mark.parametrize("argv", ACCEPTED)
def test_what_can_run_is_accepted(argv):
    parse(argv.split())


def test_resolve_raises_rather_than_exits():
    """Scripts that make their own Options must be able to say more."""
    with pytest.raises(UsageError, match="--lr=x: 'x' is not a number"):
        resolve({"lr": "x"}, FEEDBACK_NET_RULES)
    assert resolve({"size_hidden": [4, 3], "lr": 0.5}, FEEDBACK_NET_RULES).task.sizes == (10, 4, 3, 2)


@pytest.mark.parametrize("rule", ("special_controller", "old_learning_rule --ndi"))
def test_only_the_rule_that_simulates_scales_the_updates_of_layers(rule):
    """docs/published/dfc.md D.3 and D.4 have one scale for all layers."""
    given = "--scaling_fb_updates --sigma_output_fb=0.5 --protocol=strong2022 --fb_learning_rule="
    plain = main.parse(f"{given}{rule}".split()).system.feedback
    found = [(each.growth, each.sigma_output) for each in (plain.rule_settings, plain.first_settings)]
    assert found == [(1.0, None), (1.0, None)]
    scaled = main.parse(f"{given}normal_controller".split()).system.feedback.rule_settings
    assert scaled.growth > 1.0 and scaled.sigma_output == 0.5


# ---- notes

NOTES = {
    "--time_constant_ratio=0.01": [
        "--time_constant_ratio is raised to 0.1",
        "--time_constant_ratio_fb is raised to 0.1",
    ],
    "--time_constant_ratio_fb=0.01 --fb_learning_rule=normal_controller": ["--time_constant_ratio_fb is raised to 0.1"],
    "--train_parallel --extra_fb_minibatches=3 --beta_homeostatic=1 --no_preprocessing_mnist "
    "--hpsearch --multiple_hpsearch": [
        "without effect (accepted as published): --no_preprocessing_mnist, --train_parallel, --extra_fb_minibatches, "
        "--hpsearch, --multiple_hpsearch, --beta_homeostatic"
    ],
    "--train_only_feedback_parameters --epochs_fb=0": [
        "--train_only_feedback_parameters is ignored with --epochs_fb=0"
    ],
    "--train_only_feedback_parameters --epochs_fb=0.5": ["--train_only_feedback_parameters is ignored"],
    "--train_only_feedback_parameters --freeze_fb_weights": [
        "--train_only_feedback_parameters is ignored with --freeze_fb_weights"
    ],
    "--ndi --save_NDI_angle --save_df": ["--save_NDI_angle compares DFC-SSA with itself"],
    "--ndi --compare_with_ndi": ["--compare_with_ndi"],
    "--ndi --save_eigenvalues_bcn": ["--save_eigenvalues_bcn becomes --save_eigenvalues"],
    "--ndi --proactive_controller": [
        "without effect for DFC-SSA, which simulates nothing in the forward phase: --proactive_controller"
    ],
    "--freeze_fb_weights --lr_fb=0.2": ["without effect with --freeze_fb_weights: --lr_fb"],
    "--freeze_fb_weights --dt_di_fb=0.01": ["without effect with --freeze_fb_weights: --dt_di_fb"],
    "--dt_di_fb=0.01": [
        "without effect with --fb_learning_rule=special_controller, which simulates nothing: --dt_di_fb"
    ],
    "--alpha_fb=0.2": [
        "without effect with --fb_learning_rule=special_controller, which simulates nothing: --alpha_fb"
    ],
    "--network_type=BP --k_p=2 --lr=0.2": ["without effect for BP: --k_p"],
    "--network_type=DFA --clip_grad_norm=2 --initialization_K=orthogonal": ["without effect for DFA: --clip_grad_norm"],
    "--optimizer=Adam": ["--optimizer=Adam is for W; Q learns by --optimizer_fb=SGD"],
    "--beta1=0.9": ["without effect with --optimizer=SGD: --beta1"],
    "--beta1_fb=0.9": ["without effect with --optimizer_fb=SGD: --beta1_fb"],
    "--c_homeostatic=3": ["without effect without --use_homeostatic_wd_fb: --c_homeostatic"],
    "--grad_deltav_cont --use_initial_activations": ["--use_initial_activations does not act"],
    "--dt_di_fb=0.01 --fb_learning_rule=normal_controller": [
        "--apical_time_constant_fb is 0.1, the --dt_di and not the --dt_di_fb"
    ],
    "--network_type=Strong-DFC --use_initial_activations --apical_time_constant=0.4": [
        "without effect for Strong-DFC: --apical_time_constant, --use_initial_activations"
    ],
    "--network_type=Strong-DFC --fb_learning_rule=special_controller": [
        "without effect for Strong-DFC: --fb_learning_rule"
    ],
    "--ndi --dt_di=0.05 --tmax_di=7 --low_pass_filter_u --low_pass_filter_noise --inst_system_dynamics --tau_f=0.5": [
        "without effect for DFC-SSA with --fb_learning_rule=special_controller, which simulates nothing: "
        "--dt_di, --tmax_di, --inst_system_dynamics, --low_pass_filter_noise, --low_pass_filter_u, --tau_f"
    ],
    "--ndi --save_BP_GNT_angle --save_GN_GNT_angle --save_GNT_ss_no_ss_angle --save_df": [
        "without effect without --save_logs: --save_BP_GNT_angle, --save_GN_GNT_angle, --save_GNT_ss_no_ss_angle"
    ],
    "--save_jac_t_angle --save_jac_pinv_angle": [
        "without effect without --save_df or --save_logs: --save_jac_t_angle, --save_jac_pinv_angle"
    ],
    "--compute_gn_condition_init --epochs_fb=0": ["without effect with --epochs_fb=0: --compute_gn_condition_init"],
    "--target_class_value=0.9": ["without effect with --dataset=student_teacher: --target_class_value"],
    "--sample0_error=corrected": ["without effect without --efficient_controller: --sample0_error"],
}


@pytest.mark.parametrize("argv", NOTES)
def test_flags_that_do_less_than_they_say_are_noted(argv):
    notes = parse(argv.split()).notes
    assert len(notes) == len(NOTES[argv]), notes
    assert [
        beginning for note, beginning in zip(notes, NOTES[argv], strict=True) if not note.startswith(beginning)
    ] == []
    assert not any("\n" in note for note in notes)


RULES = ("", "--ndi", "--grad_deltav_cont", "--network_type=DFA", "--network_type=BP", "--network_type=Strong-DFC")


@pytest.mark.parametrize("flag", sorted({row.flag for row in MEASUREMENTS}))
def test_a_measurement_says_if_it_measures_nothing(flag):
    """It is refused or noted, for every rule, in exactly those runs that have no row of it."""
    places = ("", "--save_df", "--save_logs")
    for words in itertools.product(RULES, places, ("", "--freeze_fb_weights", "--epochs_fb=0")):
        try:
            found = main.parse([*filter(None, words), f"--{flag}"])
        except SystemExit:
            continue
        settings = found.watchers.measurements
        rows = [row for row in chosen(settings) if row.flag == flag]
        rows = [row for row in rows if row.when != LAST_PRETRAINING or settings.epochs_fb]
        noted = re.search(rf"without effect .*--{flag}\b|--{flag} (measures nothing|becomes)", "\n".join(found.notes))
        assert bool(noted) != bool(rows), (words, found.notes)


def test_flags_of_another_task_are_noted():
    assert parse([*MNIST, "--num_train=5"]).notes == ("without effect with --dataset=mnist: --num_train",)


@pytest.mark.parametrize(
    "argv",
    [
        "--optimizer=Adam --optimizer_fb=Adam --beta1=0.9 --beta1_fb=0.9",
        "--optimizer=Adam --optimizer_fb=SGD",
        "--train_only_feedback_parameters",
        "--use_homeostatic_wd_fb --c_homeostatic=3",
        "--fb_learning_rule=normal_controller --alpha_fb=0.2 --dt_di_fb=0.01 --apical_time_constant_fb=0.1",
        "--network_type=DFA --learning_rule=voltage_difference",
        "--network_type=BP --normalize_lr --momentum=0.9",
        "--efficient_controller --sample0_error=corrected",
        "--network_type=Strong-DFC --alpha_fb=0.2 --k_p_fb=1 --dt_di_fb=0.01 --tmax_di_fb=9 --inst_transmission_fb "
        "--time_constant_ratio_fb=0.3 --sigma_output_fb=0.1 --scaling_fb_updates",
    ],
)
def test_flags_that_do_what_they_say_are_not_noted(argv):
    assert parse(argv.split()).notes == ()


def test_parser_without_abbreviations_still_refuses_them():
    """run.py keeps to whole names."""
    parser = Parser(prog="run.py")
    add_arguments(parser, Options)
    assert isinstance(parser, argparse.ArgumentParser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--normalize"])


@pytest.mark.parametrize(
    "flag, value", [("random_seed", 7), ("out_dir", "elsewhere"), ("batch_size", 9), ("epochs", 3)]
)
def test_a_changed_flag_reaches_every_record(flag, value):
    assert main.parse([]).change(**{flag: value}) == main.parse([f"--{flag}={value}"])
