"""main.py --seeds: several seeds in one process, and on disk what each of them makes alone."""

import json

import numpy as np
import pytest

import main
from core.backend import Backend
from core.locks import FolderLock
from dfc.learners import FeedbackLearner, ForwardLearner
from rules import FEEDBACK_NET_RULES
from tests.faults import tiny_main
from tests.faults.tiny_main import RULES, TINY, checkpoint, complaint, finish, in_process, read_metrics, results
from tests.field.test_logs import values
from tests.runs_for_tests import BAD_SEEDS

IMAGES = (
    "--dataset=mnist",
    "--output_activation=softmax",
    "--size_input=784",
    "--size_output=10",
    "--train_samples=20",
)
ANGLES = (
    "--save_df",
    "--save_BP_angle",
    "--save_GNT_angle",
    "--save_NDI_angle",
    "--save_condition_gn",
    "--save_norm_r",
)
NOISE = ("--fb_learning_rule=normal_controller", "--noisy_dynamics", "--sigma=0.001", "--include_non_converged_samples")
VARIANTS = {name: RULES.get(name, (f"--network_type={name}",)) for name in FEEDBACK_NET_RULES} | {
    "images": (*RULES["BP"], *IMAGES, "--optimizer=Adam", "--epochs=3"),
    "images split by the seed": (*RULES["BP"], *IMAGES, "--protocol=strong2022"),
    "passes of Q": (*NOISE, "--epochs_fb=2", "--extra_fb_epochs=1", "--optimizer=Adam", "--lr=1e-4", "--threads=2"),
    "new Q in every epoch": (
        "--ndi",
        "--reset_K",
        "--initialization_K=xavier",
        "--use_homeostatic_wd_fb",
        "--epochs=3",
    ),
    "single precision": ("--grad_deltav_cont", "--single_precision", "--clip_grad_norm=0.01"),
    "some samples": ("--grad_deltav_cont", "--tmax_di=28", "--epsilon_di=0.3"),
    "measured": (*ANGLES, "--save_eigenvalues_bcn", "--compute_gn_condition_init", "--log_interval=2"),
    "every batch measured": ("--compare_with_ndi", *NOISE, "--threads=2"),
    "logged": ("--save_logs", "--save_GN_angle", "--log_interval=2", "--ndi"),
    "ends of passes measured": (*RULES["Strong-DFC"], "--save_lu_loss", "--save_H_angle", "--save_ratio_ff_fb"),
    "searched and stopped": ("--gn_damping_hpsearch", "--save_df", "--epochs=5", "--log_interval=2"),
    "stopped early": ("--ndi", "--freeze_fb_weights", "--freeze_forward_weights", "--epochs=14", "--num_train=8"),
    "feedback alone": ("--train_only_feedback_parameters", "--epochs_fb=2", "--noise_K=0.1"),
}


def seeds_of(folder):
    """{seed: run folder} of the folder of a stack."""
    return {int(path.name.removeprefix("seed_")): path for path in folder.iterdir()}


def outcome(folder):
    told = json.loads((folder / "DONE").read_text())
    return {name: value for name, value in told.items() if name not in ("seconds", "peak_memory_mb")}


def settings_of(folder):
    """The settings in config.json and args.txt, the place of the folder left out."""
    config, flags = (json.loads((folder / name).read_text()) for name in ("config.json", "args.txt"))
    options = {name: value for name, value in config["options"].items() if name != "out_dir"}
    return config["settings"], options, {name: value for name, value in flags.items() if name != "out_dir"}


def names(folder):
    """The kinds of files in a folder; the names of logs hold the time."""
    return sorted(path.name.split(".tfevents.")[0].split("__")[0] for path in folder.iterdir())


def assert_same_runs(found, expected):
    assert found.keys() == expected.keys()
    for seed, folder in found.items():
        alone = expected[seed]
        assert names(folder) == names(alone)
        assert results(folder) == results(alone) and checkpoint(folder) == checkpoint(alone)
        assert outcome(folder) == outcome(alone) and settings_of(folder) == settings_of(alone)
        logged = [
            {key: value for key, value in values(path).items() if "time" not in key[0]} for path in (folder, alone)
        ]
        assert logged[0] == logged[1]


@pytest.fixture
def call(tmp_path, monkeypatch):
    """main.py in this process; its folder is `stack` unless --out_dir is given."""
    run = in_process(tmp_path, monkeypatch)
    return lambda *argv: run(f"--out_dir={tmp_path / 'stack'}", *argv)


def alone(call, tmp_path, seeds, *argv, status=0):
    """{seed: folder} of runs of one seed each."""
    for seed in seeds:
        expected = status.get(seed, 0) if isinstance(status, dict) else status
        assert call(f"--out_dir={tmp_path / 'alone' / f'seed_{seed}'}", f"--random_seed={seed}", *argv) == expected
    return seeds_of(tmp_path / "alone")


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_seed_leaves_what_it_leaves_alone(variant, call, tmp_path, capsys):
    assert call(*VARIANTS[variant], "--seeds=2-3,7") == 0
    said = capsys.readouterr().out
    found = seeds_of(tmp_path / "stack")
    assert_same_runs(found, alone(call, tmp_path, (2, 3, 7), *VARIANTS[variant]))
    assert results(found[2]) != results(found[3])
    if variant == "some samples":
        assert all(0 < sum(read_metrics(folder)["converged"]) < 40 for folder in found.values())
    assert all(f"seed {seed}: {'stopped' if 'stopped' in variant else 'finished'}" in said for seed in found)


def test_the_seeds_are_trained_together(call, tmp_path, monkeypatch):
    """Each step is one of all seeds, and none is of one."""
    shapes = []
    for learner in (FeedbackLearner, ForwardLearner):
        step = learner.step
        monkeypatch.setattr(
            learner, "step", lambda self, *batch, step=step: (shapes.append(batch[0].shape), step(self, *batch))
        )
    assert call("--seeds=1 2 5", "--epochs=1") == 0
    assert shapes == [(3, 8, 6), (3, 8, 6), (3, 4, 6)] * 3
    assert sorted(seeds_of(tmp_path / "stack")) == [1, 2, 5]


def test_one_seed_in_the_list_is_that_seed(call, tmp_path, capsys):
    assert call("--seeds=4") == 0
    assert "seed 4: finished" in capsys.readouterr().out
    assert_same_runs(seeds_of(tmp_path / "stack"), alone(call, tmp_path, [4]))


def test_without_a_folder_the_runs_lie_in_a_new_one(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main.main([*TINY, *RULES["BP"], "--epochs=1", "--seeds=1,2"]) == 0
    (folder,) = (tmp_path / "logs" / "runs").iterdir()
    assert sorted(seeds_of(folder)) == [1, 2]


@pytest.mark.parametrize("epochs", [(2, 1, 0), (4, 0, 1)])
def test_seeds_from_different_epochs_go_on_from_their_own(epochs, call, tmp_path):
    """Runs of no epoch are new; 4 are all there are."""
    for seed, count in enumerate(epochs):
        if count:
            assert (
                call(f"--out_dir={tmp_path / 'stack' / f'seed_{seed}'}", f"--random_seed={seed}", f"--epochs={count}")
                == 0
            )
    assert call("--seeds=0-2", "--epochs=4", "--load_or_start") == 0
    assert_same_runs(seeds_of(tmp_path / "stack"), alone(call, tmp_path, range(3), "--epochs=4"))


def spoil(monkeypatch, seed, spoilt):
    """Make the network of a seed go wrong, in stacks and alone, when its third pass begins."""
    build = main.build_loop

    def build_and_spoil(settings, *rest):
        loop = build(settings, *rest)
        begin = loop.begin_pass
        if settings.random_seed == seed:
            loop.begin_pass = lambda: (loop.passed == 2 and spoilt(loop), begin())[1]
        return loop

    monkeypatch.setattr(main, "build_loop", build_and_spoil)


def overflow(loop):
    loop.learner.net.weights[0][0, 0] = np.nan


def make_singular(loop):
    for q in loop.learner.net.feedback:
        q[...] = 0.0


def make_unmeasurable(loop):
    """A measurement of its second batch from now on has no solution."""
    batch = loop.watchers[0].batch

    def fail(report):
        batch(report)
        if report.place[1] == 1:
            raise np.linalg.LinAlgError("made up")

    loop.watchers[0].batch = fail


SSA = ("--ndi", "--alpha_di=0", "--freeze_fb_weights", "--epochs=4")
BAD_ENDS = {
    "diverged": (overflow, (), "diverged"),
    "singular": (make_singular, (), "singular"),
    "measured and singular": (make_singular, ("--save_df", "--save_BP_angle", "--log_interval=1"), "singular"),
    "unmeasurable": (make_unmeasurable, ("--save_df", "--save_BP_angle", "--log_interval=1"), "singular"),
}


@pytest.mark.parametrize("case", BAD_ENDS)
def test_a_seed_that_ends_badly_ends_alone(case, call, tmp_path, monkeypatch, capsys):
    spoilt, flags, kind = BAD_ENDS[case]
    spoil(monkeypatch, 3, spoilt)
    assert call(*SSA, *flags, "--seeds=2-4") == 3
    error = capsys.readouterr().err
    assert error.count("main.py: ") == 1 and "main.py: seed 3: " in error
    found = seeds_of(tmp_path / "stack")
    assert outcome(found[3])["outcome"] == kind and outcome(found[2])["outcome"] == "finished"
    assert read_metrics(found[4])["epoch"] == [1, 2, 3, 4]
    for seed in (2, 4):
        assert_same_runs({seed: found[seed]}, {seed: alone(call, tmp_path, [seed], *SSA, *flags)[seed]})
    bad = alone(call, tmp_path, [3], *SSA, *flags, status=3)[3]
    assert outcome(bad) == outcome(found[3]) and results_before_the_end(bad) == results_before_the_end(found[3])


def results_before_the_end(folder):
    return checkpoint(folder), {name: values for name, values in read_metrics(folder).items() if name != "seconds"}


BAD = BAD_SEEDS | {
    "both": (["--seeds=1-3", "--random_seed=2"], "--seeds=1-3: contradicts --random_seed=2; give one of them"),
    "too large": (["--seeds=1,5000000000"], "--seeds=1,5000000000: must be below 4294967296"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_lists_are_refused_before_any_work(case, call, tmp_path, capsys):
    options, sentence = BAD[case]
    assert call(*options) == 2
    assert sentence in complaint(capsys.readouterr().err)
    assert not (tmp_path / "stack").exists()


def test_networks_that_do_not_fit_into_memory_are_refused(call, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Backend, "free_memory", lambda self: 1_000_000)
    assert call("--seeds=1-90") == 2
    assert "--seeds=1-90: 90 networks at once take about" in complaint(capsys.readouterr().err)
    assert not (tmp_path / "stack").exists()
    assert call("--seeds=1-3") == 0


def test_samples_that_every_seed_has_of_its_own_count_as_memory(call, monkeypatch, capsys):
    """In float64, 6 inputs and 3 outputs of 20,000 samples are 1.4 MB; images that all seeds share are there once."""
    monkeypatch.setattr(Backend, "free_memory", lambda self: 10_000_000)
    assert call("--seeds=1-8", "--num_train=20000", "--epochs=1") == 2
    assert "--seeds=1-8: 8 networks at once take about 12 MB" in complaint(capsys.readouterr().err)
    shared = (*RULES["BP"], *IMAGES, "--seeds=1-8", "--epochs=1")
    assert call(*shared) == 0 and call(*shared, "--protocol=strong2022", "--overwrite") == 0


def test_a_folder_in_use_or_missing_is_named_and_the_others_are_left(call, tmp_path, capsys):
    assert call("--epochs=1", "--seeds=1,3") == 0
    before = {path: path.read_bytes() for path in (tmp_path / "stack").rglob("*.np?")}
    capsys.readouterr()
    assert call("--seeds=1-3", "--load") == 2
    assert "seed_2" in complaint(capsys.readouterr().err)
    assert call("--seeds=3-4") == 2
    assert "seed_3" in complaint(capsys.readouterr().err)
    assert before == {path: path.read_bytes() for path in (tmp_path / "stack").rglob("*.np?")}


def test_a_dry_run_tells_of_every_folder_and_writes_nothing(call, tmp_path, capsys):
    assert call("--seeds=1,4", "--dry_run") == 0
    said = capsys.readouterr().out
    assert all(f"folder: {tmp_path / 'stack' / f'seed_{seed}'}" in said for seed in (1, 4))
    assert "what follows is about the first seed alone" in said and not (tmp_path / "stack").exists()


@pytest.mark.parametrize("obstacle", ["in use", "no weights"])
def test_nothing_is_overwritten_if_one_seed_is_refused(obstacle, call, tmp_path, capsys):
    assert call("--epochs=1", "--seeds=1-3") == 0
    lock, further = FolderLock(tmp_path / "stack" / "seed_2"), ["--start_from=none"] * (obstacle == "no weights")
    if not further:
        lock.take()
    before = tiny_main.contents(tmp_path / "stack")
    capsys.readouterr()
    assert call("--epochs=1", "--seeds=1-3", "--overwrite", *further) == 2
    assert ("--start_from=none" if further else "seed_2") in complaint(capsys.readouterr().err)
    lock.close()
    assert tiny_main.contents(tmp_path / "stack") == before


@pytest.mark.parametrize(("step", "begun"), [(9, 1), (10, 2), (13, 2)])
def test_a_seed_beyond_the_epochs_asked_for_is_named_and_the_others_are_left(step, begun, call, tmp_path, capsys):
    """An epoch has a pass of Q and one of W, three batches each, and one pass of Q comes before the first."""
    words = ("--fb_learning_rule=normal_controller", "--noisy_dynamics", "--sigma=0.001", "--epochs=5")
    for seed, stop in ((1, 5), (2, step)):
        place = f"--out_dir={tmp_path / 'stack' / f'seed_{seed}'}"
        finish(*words, place, f"--random_seed={seed}", fault=f"step {stop} SIGTERM")
    before = tiny_main.contents(tmp_path / "stack")
    status = call(*words, "--seeds=1-3", "--epochs=1", "--load_or_start")
    if begun == 1:
        assert status == 0
    else:
        assert status == 2
        error = complaint(capsys.readouterr().err)
        assert "--epochs=1: " in error and "seed_2 holds a run that has begun epoch 2 already" in error
        assert tiny_main.contents(tmp_path / "stack") == before
    assert call(*words, "--seeds=1-3", f"--epochs={begun}", "--load_or_start") == 0
    assert_same_runs(seeds_of(tmp_path / "stack"), alone(call, tmp_path, (1, 2, 3), *words, f"--epochs={begun}"))


@pytest.mark.parametrize("fault", ["step 17 SIGKILL", "replace 14 SIGKILL", "replace 41 SIGKILL"])
def test_seeds_killed_together_and_continued_alone_or_in_another_stack(fault, call, tmp_path, capsys):
    """The first goes on alone, the two others in a stack of their own: the bits are those of runs
    that nobody disturbed."""
    settings, killed = ("--grad_deltav_cont", *NOISE, "--epochs=3"), tmp_path / "killed"
    assert finish(*settings, f"--out_dir={killed}", "--seeds=1-3", fault=fault)[0] == -9
    assert call(*settings, f"--out_dir={killed / 'seed_1'}", "--random_seed=1", "--load_or_start") == 0
    assert call(*settings, f"--out_dir={killed}", "--seeds=2-3", "--load_or_start") == 0
    assert capsys.readouterr().err == ""
    assert call(*settings, "--seeds=1-3") == 0
    assert_same_runs(seeds_of(killed), seeds_of(tmp_path / "stack"))


def test_a_signal_saves_every_seed(call, tmp_path):
    words, stopped = ("--epochs=3", "--seeds=1-3"), f"--out_dir={tmp_path / 'stopped'}"
    status, out, _ = finish(*words, stopped, fault="step 13 SIGTERM")
    assert status == 128 + 15 and out.count("the same command with --load continues it") == 3
    assert call(*words, stopped, "--load") == 0
    assert call(*words) == 0
    assert_same_runs(seeds_of(tmp_path / "stopped"), seeds_of(tmp_path / "stack"))
