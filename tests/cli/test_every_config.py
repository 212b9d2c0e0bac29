"""Every published experiment runs as its config says, on few samples and for a moment, and leaves finite numbers.

Widths, activations, rules, optimisers, step sizes and all the rest are those of the config; only counts are cut: of
samples, epochs and time points.  That the configs themselves are the published ones: tests/core/test_configs.py.
"""

import json
from types import SimpleNamespace

import numpy as np
import pytest

import main
from configs import load, module_names, to_argv
from core import machine
from core.options import UsageError
from dfc import tasks
from main import parse

# There are two batches per epoch, the second a short one.
BATCH, TRAIN, OTHERS = 4, 6, 4
POINTS = 3
CUT = {
    "epochs": 1, "batch_size": BATCH, "tmax_di": POINTS, "tmax_di_fb": POINTS, "num_train": TRAIN, "num_test": OTHERS,
    "num_val": OTHERS, "threads": 1, "quiet": True, "no_cuda": True, "log_interval": 1,
}  # fmt: skip


def experiments():
    """{name: config} of all that run_config.py and run_pipeline.py offer."""
    found = {}
    for module in module_names():
        title = module.removeprefix("configs.")
        try:
            found[title] = load(module)
        except UsageError:
            found |= {f"{title}: {name}": config for name, config in load(module, collection=True).experiments.items()}
    return found


EXPERIMENTS = experiments()
# There is one pass of each kind.
PASSES = ("epochs_fb", "extra_fb_epochs")


def cut(config):
    """The config with small counts, and without what needs a package that may be missing."""
    passes = {name: min(1, int(config[name])) for name in PASSES if name in config}
    own = {name: value for name, value in config.items() if name not in ("out_dir", "save_logs")}
    return own | CUT | passes


@pytest.fixture
def few_samples(monkeypatch, tmp_path):
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (TRAIN + OTHERS, 784)).astype(np.uint8)
    data = SimpleNamespace(
        train_images=images,
        train_labels=np.arange(TRAIN + OTHERS) % 10,
        test_images=images[:OTHERS],
        test_labels=np.arange(OTHERS) % 10,
        classes=10,
    )
    split = tasks.train_validation_split
    monkeypatch.setattr(tasks, "datasets", SimpleNamespace(load=lambda *_: data))
    monkeypatch.setattr(tasks, "train_validation_split", lambda count, _, order=None: split(count, OTHERS, order))
    monkeypatch.setattr("dfc.tasks.TEACHER_HIDDEN", (20, 20))
    monkeypatch.setattr(machine, "git_commit", lambda: None)
    return tmp_path / "run"


def test_all_published_experiments_are_here():
    """dfc.md K.10: 85 of DFC, 11 of DFA, 4 of BP; of the successor's eight two each of BP, DFC,
    Strong-DFC and its two phases."""
    rules = [parse(to_argv(config)).rule.name for config in EXPERIMENTS.values()]
    assert (len(rules), rules.count("DFA"), rules.count("BP"), rules.count("Strong-DFC")) == (108, 11, 6, 2)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiment_runs(name, few_samples):
    config = EXPERIMENTS[name]
    words = [*to_argv(cut(config)), f"--out_dir={few_samples}"]
    assert main.main(words) == 0
    done = json.loads((few_samples / "DONE").read_text())
    assert done["outcome"] == "finished" and done["epochs"] == 1
    settings, full = parse(words).system.network, parse([*to_argv(config), "--no_cuda"]).system.network
    assert (settings.feedback, settings.activations, settings.sizes) == (full.feedback, full.activations, full.sizes)
    saved = {path.stem: np.load(path, allow_pickle=False) for path in few_samples.glob("*.npy")}
    assert all(np.isfinite(array).all() for array in saved.values())
    for l, (n_in, n_out) in enumerate(zip(full.sizes[:-1], full.sizes[1:], strict=True)):
        assert saved[f"{l}Lweights"].shape == (n_out, n_in)
    with np.load(few_samples / "results.npz", allow_pickle=False) as archive:
        assert np.isfinite(archive["loss_train"]).all() and archive["loss_train"].shape == (1,)
    summary = json.loads((few_samples / "results.json").read_text())
    assert summary["finished"] == 1 and summary["loss_test_last"] > 0
    for frame in few_samples.glob("*_angles*.csv"):
        assert len(frame.read_text().splitlines()) >= 2
