"""main.py stopped by a signal after any batch of any pass, then --load: the run that nobody disturbed,
bit for bit (dfc.md D.1, I).

All in this process; what kills a process: tests/faults/test_main_kill.py.
"""

import json
import os
import signal

import numpy as np
import pytest

from tests.faults.tiny_main import BATCHES, RULES, arrange, arrays, checkpoint, in_process, results

IMAGES = ("--dataset=mnist", "--output_activation=softmax", "--size_input=784", "--size_output=10", "--batch_size=10")
NOISE = ("--noisy_dynamics", "--sigma=0.001", "--include_non_converged_samples", "--fb_learning_rule=normal_controller")
MEASURED = (
    "--save_df", "--log_interval=2", "--save_BP_angle", "--save_GNT_angle", "--save_NDI_angle", "--save_norm_r",
    "--save_eigenvalues", "--save_condition_gn", "--save_jac_t_angle",
    "--compute_gn_condition_init", "--compare_with_ndi",
)  # fmt: skip
SURROGATE = ("--save_H_angle", "--save_lu_loss", "--save_ratio_ff_fb")
OLD, STRONG = ("--fb_learning_rule=old_learning_rule",), RULES["Strong-DFC"]
# name: (options, passes before the first epoch, passes of an epoch); two epochs of each
RUNS = {
    "BP": ((*RULES["BP"], *IMAGES, "--optimizer=Adam", "--lr=1e-6"), 0, 1),
    "DFA": ((*RULES["DFA"], *IMAGES, "--momentum=0.5", "--single_precision"), 0, 1),
    "DFC": ((*RULES["DFC"], *NOISE, "--epochs_fb=2", "--extra_fb_epochs=1", "--optimizer=Adam", "--lr=1e-6"), 2, 3),
    "DFC-SS": (("--reset_K", "--use_homeostatic_wd_fb", "--optimizer_fb=Adam", "--initialization_K=xavier"), 1, 2),
    "DFC-SSA": ((*RULES["DFC-SSA"], *OLD, "--optimizer_fb=RMSprop", "--momentum=0.3"), 1, 2),
    "fixed": ((*RULES["DFC-SSA"], "--freeze_fb_weights", "--optimizer=RMSprop", "--lr=1e-6", "--no_bias"), 0, 1),
    "step by step": ((*RULES["DFC"], "--efficient_controller", "--clip_grad_norm=0.01"), 1, 2),
    "feedback alone": (("--train_only_feedback_parameters", "--epochs_fb=3", *NOISE), 3, 0),
    "Strong-DFC": ((*STRONG, "--extra_fb_epochs=1", "--optimizer_fb=Adam", "--momentum=0.3", *SURROGATE), 1, 2),
    "one batch a pass": (("--batch_size=20", "--epochs_fb=2"), 2, 2),
    "measured": (MEASURED, 1, 2),
    "measured once per pass": ((*SURROGATE, "--compute_gn_condition_init", "--extra_fb_epochs=1"), 1, 3),
}


@pytest.fixture
def call(tmp_path, monkeypatch):
    return in_process(tmp_path, monkeypatch)


def batches_of(options):
    return 1 if "--batch_size=20" in options else BATCHES


def interrupted(call, monkeypatch, fault, *words):
    """The exit status of a run to which a fault (tiny_main) happens."""
    with monkeypatch.context() as patch:
        arrange(fault, patch.setattr)
        return call(*words)


@pytest.mark.parametrize("name", RUNS)
def test_stopped_after_any_batch_and_loaded_equals_the_whole_run(name, call, tmp_path, monkeypatch, capsys):
    options, before, an_epoch = RUNS[name]
    assert call(*options) == 0
    whole, batches = tmp_path / "run", batches_of(options)
    steps = (before + 2 * an_epoch) * batches
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    for step in range(1, steps):
        number = (signal.SIGINT, signal.SIGTERM)[step % 2]
        place = tmp_path / str(step)
        capsys.readouterr()
        assert (
            interrupted(call, monkeypatch, f"step {step} {number.name}", *options, f"--out_dir={place}") == 128 + number
        )
        out, err = capsys.readouterr()
        # so small a network need not come to rest in its first epoch
        assert all("note: no sample converged" in line for line in err.splitlines())
        assert str(place) in out.splitlines()[-1] and "--load" in out.splitlines()[-1]
        check_stopped(place, step, batches, before, an_epoch)
        assert call(*options, f"--out_dir={place}", "--load") == 0
        assert results(place) == results(whole), step
        assert checkpoint(place) == checkpoint(whole), step
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def check_stopped(place, step, batches, before, an_epoch):
    """Assert that a run which stopped after so many batches has saved exactly these, and the weights as well."""
    passed, batch = divmod(step, batches)
    assert not (place / "DONE").exists() and {path.name for path in place.glob(".*")} <= {".lock"}
    assert json.loads((place / "results.json").read_text())["finished"] == 0
    saved = arrays(place)
    with np.load(place / "checkpoint.npz", allow_pickle=False) as archive:
        assert (archive["passed"], archive["batch"]) == (passed, batch)
        assert archive["epoch"] == (max(0, passed - before) // an_epoch if an_epoch else 0)
        assert archive["p0"].tobytes() == saved["0Lweights"].tobytes()
        assert len(archive["series_epoch"]) == archive["epoch"]


def test_stopped_after_every_batch(call, tmp_path, monkeypatch):
    """A machine that never lets the run do two batches in a row."""
    options, before, an_epoch = RUNS["DFC"]
    assert call(*options) == 0
    place, steps = f"--out_dir={tmp_path / 'parts'}", (before + 2 * an_epoch) * BATCHES
    for step in range(1, steps):
        assert interrupted(call, monkeypatch, "step 1 SIGTERM", *options, place, *["--load"] * (step > 1)) == 143, step
    assert call(*options, place, "--load") == 0
    assert results(tmp_path / "parts") == results(tmp_path / "run")
    assert checkpoint(tmp_path / "parts") == checkpoint(tmp_path / "run")


@pytest.mark.parametrize("name", ["DFC-SS", "feedback alone", "BP"])
def test_signal_in_the_last_batch_of_all_is_a_finished_run(name, call, tmp_path, monkeypatch):
    options, before, an_epoch = RUNS[name]
    assert call(*options, f"--out_dir={tmp_path / 'whole'}") == 0
    steps = (before + 2 * an_epoch) * BATCHES
    assert interrupted(call, monkeypatch, f"step {steps} SIGINT", *options) == 0
    assert results(tmp_path / "run") == results(tmp_path / "whole")
    assert json.loads((tmp_path / "run" / "DONE").read_text())["outcome"] == "finished"


def test_signal_at_any_write(call, tmp_path, monkeypatch, capsys):
    """Before training nothing is saved, while a file is written the file is finished, and the
    run that is over is over."""
    options, written, replace = RUNS["DFC-SS"][0], [], os.replace

    def noting(source, target, **more):
        written.append(os.path.basename(target))
        return replace(source, target, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", noting)
        assert call(*options) == 0
    ends = []
    # one write more than there are, which never comes
    for where in range(1, len(written) + 2):
        place = tmp_path / str(where)
        status = interrupted(call, monkeypatch, f"replace {where} SIGINT", *options, f"--out_dir={place}")
        ends.append(status)
        assert {path.name for path in place.glob(".*")} <= {".lock"}
        if status:
            load = ["--load"] if (place / "config.json").exists() else []
            assert call(*options, f"--out_dir={place}", *load) == 0, where
        assert results(place) == results(tmp_path / "run"), where
    # the series is the first file that is written after the last batch of all
    trained = len(written) - 1 - written[::-1].index("metrics.csv")
    assert ends == [130] * trained + [0] * (len(ends) - trained)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_in_the_epoch_that_stops_the_run_is_the_stop(number, call, tmp_path, monkeypatch):
    """The published condition holds whether somebody pressed Ctrl-C in that batch or not."""
    options = [
        "--ndi",
        "--freeze_fb_weights",
        "--freeze_forward_weights",
        "--num_train=1",
        "--batch_size=1",
        "--epochs=14",
    ]
    assert call(*options) == 0
    assert json.loads((tmp_path / "run" / "DONE").read_text())["epoch"] == 12
    for step in (11, 12):
        place = tmp_path / str(step)
        status = interrupted(call, monkeypatch, f"step {step} {number.name}", *options, f"--out_dir={place}")
        assert status == (128 + number if step == 11 else 0)
        assert call(*options, f"--out_dir={place}", "--load") == 0
        assert (place / "DONE").read_text() == (tmp_path / "run" / "DONE").read_text()
        assert results(place).keys() == results(tmp_path / "run").keys()
        assert results(place)["metrics.csv"] == results(tmp_path / "run")["metrics.csv"]


def test_numbers_that_blew_up_are_not_saved_by_a_signal(call, tmp_path, monkeypatch):
    """Ctrl-C between the batch that spoils a weight and the end of its pass: the last good checkpoint is kept."""
    import dfc.learners

    step, count = dfc.learners.ForwardLearner.step, []

    def spoiling(self, *batch):
        step(self, *batch)
        count.append(1)
        if len(count) == 4:
            self.net.weights[0][0, 0] = np.nan

    monkeypatch.setattr(dfc.learners.ForwardLearner, "step", spoiling)
    assert interrupted(call, monkeypatch, "step 4 SIGINT", "--ndi", "--freeze_fb_weights", "--epochs=5") == 3
    with np.load(tmp_path / "run" / "checkpoint.npz") as archive:
        assert archive["epoch"] == 1 and all(np.isfinite(archive[name]).all() for name in archive.files)
    assert json.loads((tmp_path / "run" / "results.json").read_text())["finished"] == -1
