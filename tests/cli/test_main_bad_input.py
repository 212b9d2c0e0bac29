"""What main.py cannot do it refuses in one line, with status 2, before it touches anything: wrong
flags, places and files."""

import dataclasses
import json
import math
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

import datasets
import dfc.tasks
import main
from core import backend as backends
from core.files import read_arrays, write_arrays
from dfc.settings.flags import Options
from tests.faults import tiny_runs
from tests.faults.tiny_main import ROOT, RULES, complaint, contents, in_process, read_metrics, results

FIELDS = {field.name: field for field in dataclasses.fields(Options)}
BOUNDED = [name for name, field in FIELDS.items() if field.metadata["bounds"]]
CHOSEN = [name for name, field in FIELDS.items() if field.metadata["choices"]]
SWITCHES = [name for name, field in FIELDS.items() if isinstance(field.default, bool)]
# beta_homeostatic has no effect.
NUMBERS = [
    name for name, field in FIELDS.items() if field.metadata["kind"] in (int, float) and name != "beta_homeostatic"
]
LISTS = {"lr": "(0, inf)", "epsilon": "[0, inf)"}
TEXTS = LISTS | {"lr_fb": "[0, inf)", "lr_fb_init": "[0, inf)", "epsilon_fb": "[0, inf)", "gn_damping": "[0, inf)"}


@pytest.fixture
def refused(tmp_path, monkeypatch, capfd):
    """A function (options, words): asserts that main.py refuses the options, with the words, and
    leaves everything as it was."""
    # This is a machine without it.
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.chdir(tmp_path)
    call = in_process(tmp_path, monkeypatch)

    def refuse(options, words=()):
        before = contents(tmp_path)
        capfd.readouterr()
        status = call(*options)
        out, err = capfd.readouterr()
        line = complaint(err)
        assert status == 2
        assert [word for word in words if str(word) not in line] == [], line
        assert contents(tmp_path) == before
        assert out == ""

    refuse.call = call
    return refuse


# ---- flags


def outside(name):
    """Numbers just outside the bounds of a flag, and far outside."""
    field = FIELDS[name]
    bounds, whole = field.metadata["bounds"], int in (field.metadata["kind"], field.metadata["entries"])
    opening, closing = bounds[0], bounds[-1]
    low, high = map(float, bounds[1:-1].split(", "))
    found = []
    if low > -math.inf:
        near = low - 1 if whole else math.nextafter(low, -math.inf)
        found += [near if opening == "[" else low, low - 1000]
    if high < math.inf:
        near = high + 1 if whole else math.nextafter(high, math.inf)
        found += [near if closing == "]" else high, high + 1000]
    return [int(value) if whole else value for value in found if value != field.metadata["sentinel"]]


@pytest.mark.parametrize("name", BOUNDED)
def test_number_outside_its_bounds_is_refused(name, refused):
    for value in outside(name):
        refused([f"--{name}={value}"], [f"--{name}", value, FIELDS[name].metadata["bounds"]])


@pytest.mark.parametrize("name", NUMBERS)
def test_no_number_may_be_nan_infinite_or_a_word(name, refused):
    kind = "a whole number" if FIELDS[name].metadata["kind"] is int else "a number"
    for value in ("nan", "inf", "-inf", "1e999", "fast", "", "0x10", "1,5", "[1, 2]"):
        refused([f"--{name}={value}"], [f"--{name}", value])
    refused([f"--{name}=two"], [f"--{name}", "two", kind])


@pytest.mark.parametrize("name", TEXTS)
def test_step_sizes_that_are_none_are_refused(name, refused):
    for value in ("nan", "inf", "-1", "1e999", "fast", "", "[]", *(["0"] if TEXTS[name][0] == "(" else [])):
        refused([f"--{name}={value}"], [f"--{name}={value}"])
    refused([f"--{name}=-0.5"], [f"--{name}", "-0.5", TEXTS[name]])
    wrong = ["[0.1, 0.1]", "[0.1, 0.1, 0.1, 0.1]"] if name in LISTS else ["[0.1, 0.1, 0.1]"]
    for value in wrong:
        refused([f"--{name}={value}"], [f"--{name}"])


@pytest.mark.parametrize("name", CHOSEN)
def test_unknown_choice_is_refused_with_the_known_ones(name, refused):
    refused([f"--{name}=nonsense"], [f"--{name}", "nonsense", *FIELDS[name].metadata["choices"]])


@pytest.mark.parametrize("name", SWITCHES)
def test_switch_takes_no_value(name, refused):
    for value in ("True", "False", "1"):
        refused([f"--{name}={value}"], [f"--{name}", value])


# Only the data decide these; tests/core/test_settings.py has combinations of flags.
BAD = {
    "batch beyond the samples": (["--batch_size=21"], ["--batch_size=21", "[1, 20]"]),
    "batch beyond the images": (
        ["--dataset=mnist", "--output_activation=softmax", "--size_input=784", "--size_output=10", "--batch_size=25"],
        ["--batch_size=25", "[1, 24]"],
    ),
    "more training samples than images": (
        [
            "--dataset=mnist",
            "--output_activation=softmax",
            "--size_input=784",
            "--size_output=10",
            "--train_samples=25",
        ],
        ["--train_samples=25", "[0, 24]"],
    ),
    "training samples of drawn data": (["--train_samples=5"], ["--train_samples=5", "student_teacher", "--num_train"]),
    "seed beyond the generator": (["--random_seed=4294967296"], ["--random_seed=4294967296", "below 4294967296"]),
    "a GPU that is not there": (["--device=7"], ["--device=7", "cupy is not installed"]),
    "cupy that is not there": (["--backend=cupy"], ["--backend=cupy", "cupy is not installed"]),
    "stored arrays in the current folder": (["--load_ST_dataset"], ["data", "train_x.npy", "val_y.npy"]),
    "stored arrays elsewhere": (["--load_ST_dataset", "--data_dir=/nowhere"], ["/nowhere", "train_x.npy"]),
    "stored arrays without validation": (
        ["--load_ST_dataset", "--no_val_set", "--data_dir=/nowhere"],
        ["/nowhere", "test_y.npy"],
    ),
    "cifar10": (
        [
            "--dataset=cifar10",
            "--output_activation=softmax",
            "--size_input=3072",
            "--size_output=10",
            "--data_dir=/nowhere",
        ],
        ["/nowhere", "data_batch_1.bin"],
    ),
    "load without a run": (["--load"], ["--load", "there is no run"]),
    "an unknown flag": (["--epoch_fb=1"], ["--epoch_fb", "--epochs_fb"]),
    "a stray word": (["mnist"], ["mnist"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_line(case, refused):
    refused(*BAD[case])


def test_samples_beyond_all_memory_are_told_in_one_line(refused, capfd, tmp_path):
    """Petabytes, which no machine begins to hand out."""
    assert refused.call("--num_train=1000000000", "--size_input=1000000") == 1
    assert "memory" in complaint(capfd.readouterr().err)
    assert {path.name for path in tmp_path.glob("run/*")} <= {".lock"}


@pytest.mark.parametrize(
    "sizes, told", [("[1000000000000,5]", "1000000000000,5"), ("10000000", "10000000,10000000,10000000")]
)
def test_networks_beyond_all_memory_are_refused_by_their_sizes(sizes, told, refused, monkeypatch):
    monkeypatch.setattr(backends.Backend, "free_memory", lambda backend: 1 << 40)
    refused([f"--size_hidden={sizes}"], [f"--size_hidden={told}: ", "memory", "1099.5 GB are free"])


@pytest.mark.parametrize("package, flag", [("tensorboardX", "--save_logs"), ("matplotlib", "--make_dynamics_plot")])
def test_packages_that_are_missing_are_asked_for_by_name(package, flag, refused, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    # an earlier test may have imported parts of it, which Python would find without asking for the package
    for part in [name for name in sys.modules if name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, part)
    refused([flag], [flag, f"pip install {package}"])


def test_bad_flag_of_the_program_itself_leaves_no_traceback(tmp_path):
    """The same through the shell: status, one line, nothing on stdout, no folder."""
    words = [sys.executable, "main.py", "--epochs=-1", f"--out_dir={tmp_path / 'r'}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--epochs" in complaint(done.stderr)
    assert list(tmp_path.iterdir()) == []


# ---- data


IMAGES = ("--dataset=mnist", "--output_activation=softmax", "--size_input=784", "--size_output=10")


@pytest.fixture
def from_files(monkeypatch):
    """Images come from files again, those of a made-up catalogue whose address is a closed port of this machine."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(datasets, "CATALOGUE", tiny_runs.catalogue())
    return lambda: monkeypatch.setattr(dfc.tasks, "datasets", datasets)


@pytest.mark.parametrize("name, folder", [("mnist", "MNIST"), ("fashion_mnist", "FMNIST")])
def test_missing_images_without_network_are_asked_for_by_name(name, folder, refused, from_files, tmp_path):
    from_files()
    (tmp_path / "empty" / folder).mkdir(parents=True)
    words = [tmp_path / "empty" / folder, "no connection", "train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]
    refused([*IMAGES, f"--dataset={name}", f"--data_dir={tmp_path / 'empty'}"], words)


def test_wrong_images_never_train(refused, from_files, tmp_path):
    from_files()
    paths = tiny_runs.write_data(tmp_path / "data")
    paths["FMNIST"]["train_images"].write_bytes(paths["FMNIST"]["train_images"].read_bytes()[:-100])
    refused(
        [*IMAGES, "--dataset=fashion_mnist", f"--data_dir={tmp_path / 'data'}"],
        [paths["FMNIST"]["train_images"], "truncated"],
    )


def test_stored_arrays_of_another_size_are_refused(refused, tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("train", "test", "val"):
        np.save(tmp_path / "data" / f"{name}_x.npy", np.zeros((20, 4)))
        np.save(tmp_path / "data" / f"{name}_y.npy", np.zeros((20, 3)))
    refused(["--load_ST_dataset"], ["--size_input=6", "must be 4"])
    (tmp_path / "data" / "val_y.npy").write_bytes(b"rubbish")
    refused(["--load_ST_dataset", "--size_input=4"], ["val_y.npy"])


# ---- places that cannot be used


def test_results_below_a_file_are_refused(refused, tmp_path):
    (tmp_path / "taken").write_text("a file")
    refused([f"--out_dir={tmp_path / 'taken'}"], [tmp_path / "taken"])
    refused([f"--out_dir={tmp_path / 'taken' / 'deeper'}"], [tmp_path / "taken", "Not a directory"])


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder that nobody can write, root included")
def test_results_in_a_folder_nobody_can_write_are_refused(refused):
    refused(["--out_dir=/proc/x"], ["/proc/x"])


def test_results_in_a_folder_with_too_long_a_name_are_refused(refused, tmp_path):
    refused([f"--out_dir={tmp_path / ('x' * 300)}"], ["x" * 300, "name too long"])


# ---- runs that are there already


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


@pytest.mark.parametrize("lost", [None, "DONE", "config.json", "checkpoint.npz"])
def test_existing_run_is_left_alone_without_a_word_what_to_do(lost, refused, folder):
    assert refused.call("--epochs=1") == 0
    if lost:
        (folder / lost).unlink()
    refused(["--epochs=1"], [folder, "--overwrite", "--load"])


# Flag: what the run is said to have been made with.
OTHER = {
    "--random_seed=43": ("random_seed = 42", "43"),
    "--lr=0.06": ("lr = 0.05", "0.06"),
    "--sigma=0.09": ("sigma = 0.08", "0.09"),
    "--size_hidden=[7, 6]": ("size_hidden = [7, 5]", "[7, 6]"),
    "--no_bias": ("no_bias = False", "True"),
    "--network_type=DFA": ("freeze_fb_weights = False", "True"),
    "--ndi": ("ndi = False", "True"),
    "--single_precision": ("single_precision = False", "True"),
    "--evaluate": ("evaluate = False", "True"),
    "--nan_test=symmetric": ("nan_test = published", "symmetric"),
    "--sample0_error=corrected": ("sample0_error = published", "corrected"),
    "--num_train=21": ("num_train = 20", "21"),
    "--data=mnist_autoencoder --size_input=784 --size_output=784": ("dataset = student_teacher", "mnist_autoencoder"),
    "--train_only_feedback_parameters": ("train_only_feedback_parameters = False", "True"),
    "--use_bp_updates": ("use_bp_updates = False", "True"),
    "--protocol=strong2022": ("protocol = dfc2021", "strong2022"),
    "--target_class_value=0.9": ("target_class_value = 1.0", "0.9"),
    "--first_batches=2": ("first_batches = 0", "2"),
    "--save_lu_loss": ("save_lu_loss = False", "True"),
    "--save_H_angle": ("save_H_angle = False", "True"),
    "--save_ratio_ff_fb": ("save_ratio_ff_fb = False", "True"),
    "--compare_with_ndi": ("compare_with_ndi = False", "True"),
}


@pytest.mark.parametrize("flags", OTHER)
def test_going_on_with_other_settings_is_refused(flags, refused, folder):
    """The numbers would be a mixture of two runs."""
    assert refused.call("--epochs=1") == 0
    words = flags.replace("[7, 6]", "[7,6]").split()
    refused(["--epochs=2", "--load", *words], ["--load", folder, OTHER[flags][0]])


# Flags of a run that is continued without them: its setting that differs.
DROPPED = {
    "--low_pass_filter_noise": "low_pass_filter_noise = True",
    "--low_pass_filter_u": "low_pass_filter_u = True",
    "--output_sigma=0.3": "output_sigma = 0.3",
    "--save_lu_loss": "save_lu_loss = True",
    "--save_H_angle": "save_H_angle = True",
    "--save_ratio_ff_fb": "save_ratio_ff_fb = True",
}


@pytest.mark.parametrize("flags", DROPPED)
def test_going_on_without_a_flag_is_refused(flags, refused, folder):
    assert refused.call("--epochs=1", flags) == 0
    refused(["--epochs=2", "--load"], ["--load", folder, DROPPED[flags]])


CONDITION = ("--save_condition_gn", "--save_df")


@pytest.mark.parametrize("before, after", [((), CONDITION), (CONDITION, ())], ids=["added", "dropped"])
def test_condition_2_is_a_column_of_the_newer_protocol_alone(before, after, refused, folder):
    assert refused.call("--epochs=1", *before) == 0
    assert refused.call("--epochs=2", "--load", *after) == 0
    newer = "--protocol=strong2022"
    assert refused.call("--epochs=1", "--overwrite", newer, *before) == 0
    refused(["--epochs=2", "--load", newer, *after], ["--load", folder, f"save_condition_gn = {bool(before)}"])


NOT_DECISIVE = ("--epochs=3", "--log_interval=7", "--save_norm_r", "--threads=2", "--no_cuda", "--backend=numpy")


@pytest.mark.parametrize("flags", NOT_DECISIVE)
def test_what_decides_no_number_may_be_another(flags, refused, folder):
    assert refused.call("--epochs=1") == 0
    assert refused.call("--epochs=2", "--load", flags) == 0


def test_folder_of_the_other_program_is_refused(refused, folder, tmp_path):
    """run.py's and main.py's folders share file names."""
    folder.mkdir()
    write_arrays(folder / "checkpoint.npz", {"p0": np.zeros((2, 2)), "epoch": np.array(1)})
    settings = {"algorithm": "BP", "nb_layers": 1}
    (folder / "config.json").write_text(json.dumps({"settings": settings, "options": settings}))
    refused(["--load"], [folder / "checkpoint.npz"])


# ---- damaged files


@pytest.fixture
def unfinished(refused, folder):
    """The folder of a run that has done one of its two epochs."""
    assert refused.call("--epochs=1") == 0
    (folder / "DONE").unlink()
    return folder


BROKEN_JSON = ["", "{", "[]", "{}", "null", "3", '"text"', '{"settings": 3}', "\x00\x01", '{"outcome": "unheard of"}']
BROKEN_JSON += ['{"outcome": "finished"}', '{"outcome": "stopped"}']
BROKEN_JSON += [f'{{"outcome": "finished", "epochs": 1, "{end}}}' for end in ('acc_test": "much"', 'loss_test": null')]


@pytest.mark.parametrize("name", ["config.json", "DONE"])
def test_damaged_record_is_named_and_left_alone(name, unfinished, refused):
    for text in BROKEN_JSON:
        (unfinished / name).write_text(text)
        refused(["--load", "--epochs=2"], [unfinished / name])


def test_truncated_checkpoint_is_named(unfinished, refused):
    path = unfinished / "checkpoint.npz"
    good = path.read_bytes()
    for length in [0, 1, 30, *np.linspace(200, len(good) - 1, 8).astype(int).tolist()]:
        path.write_bytes(good[:length])
        refused(["--load", "--epochs=2"], [path, "damaged"])


def test_flipped_bytes_in_the_checkpoint_are_found_or_harmless(unfinished, refused, capfd, tmp_path):
    path, random, refusals = unfinished / "checkpoint.npz", np.random.default_rng(1), 0
    good = path.read_bytes()
    shutil.copytree(unfinished, tmp_path / "kept")
    assert refused.call("--epochs=2", f"--out_dir={tmp_path / 'whole'}") == 0
    for place in random.integers(0, len(good), 40):
        bad = bytearray(good)
        bad[place] ^= int(random.integers(1, 256))
        path.write_bytes(bad)
        capfd.readouterr()
        status = refused.call("--load", "--epochs=2")
        if status == 0:
            assert results(unfinished) == results(tmp_path / "whole"), place
            shutil.rmtree(unfinished)
            shutil.copytree(tmp_path / "kept", unfinished)
        else:
            assert status == 2 and str(path) in complaint(capfd.readouterr().err), place
            refusals += 1
    assert refusals >= 20


def test_checkpoint_without_one_of_its_arrays_is_refused(unfinished, refused):
    path = unfinished / "checkpoint.npz"
    arrays = read_arrays(path)
    for name in [name for name in arrays if not name.startswith(("series_", "seen_"))]:
        write_arrays(path, {other: array for other, array in arrays.items() if other != name})
        refused(["--load", "--epochs=2"], [path])


def test_checkpoint_with_an_array_of_another_shape_is_refused(unfinished, refused):
    path = unfinished / "checkpoint.npz"
    arrays = read_arrays(path)
    # between two epochs nobody looks at the totals of an epoch
    for name in [name for name in arrays if not name.startswith(("series_", "seen_", "totals"))]:
        for other in (np.zeros((2, 9)), np.zeros(0)):
            write_arrays(path, {**arrays, name: other})
            refused(["--load", "--epochs=2"], [path])


class Trap:
    """Unpickled, it writes the file that it was made with."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_pickles_in_a_checkpoint_are_never_opened(unfinished, refused, tmp_path):
    path = unfinished / "checkpoint.npz"
    with np.load(path) as archive:
        arrays = dict(archive)
    with open(path, "wb") as file:
        np.savez(file, **{**arrays, "epoch": np.array([Trap(tmp_path / "sprung")], dtype=object)})
    refused(["--load", "--epochs=2"], [path, "damaged"])
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["results.json", "results.npz", "metrics.csv", "performance_overview.txt", "args.txt"])
def test_what_can_be_written_anew_may_be_damaged_or_lost(name, unfinished, refused, tmp_path):
    """The checkpoint alone decides how a run goes on."""
    assert refused.call("--epochs=2", f"--out_dir={tmp_path / 'whole'}") == 0
    (unfinished / name).write_bytes(b"\x00rubbish")
    assert refused.call("--epochs=2", "--load") == 0
    assert results(unfinished) == results(tmp_path / "whole")
    (unfinished / name).unlink()
    assert refused.call("--epochs=3", "--load") == 0
    assert len(read_metrics(unfinished)["epoch"]) == 3
    assert (unfinished / name).exists()


def test_damaged_run_can_be_left_behind(unfinished, refused):
    for name in ("checkpoint.npz", "config.json", "DONE"):
        (unfinished / name).write_bytes(b"rubbish")
    assert refused.call("--epochs=1", "--overwrite") == 0
    assert len(read_metrics(unfinished)["epoch"]) == 1


def test_ctrl_c_before_training_is_no_traceback(refused, monkeypatch, capfd, tmp_path):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "load_task", interrupted)
    assert refused.call(*RULES["BP"]) == 130
    assert "interrupted" in complaint(capfd.readouterr().err)
    assert list(tmp_path.iterdir()) == []
