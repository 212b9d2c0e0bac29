"""--dry_run of run.py and main.py: what it tells, and that it writes nothing; sweeps refuse it."""

import itertools
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

import run_config
import run_pipeline
import run_seed_robustness
import run_toy_exp_fig1D
import run_toy_exp_fig3
from core import rehearsal
from core.options import UsageError
from core.training import EpochPlan, Loop, Schedule
from tests.faults import tiny_main, tiny_runs
from tests.runs_for_tests import tree


def expected(out):
    """The numbers of seconds that a dry run tells."""
    return [float(line.split()[1]) for line in out.splitlines() if line.startswith("expected: ")]


def test_run_tells_its_options_and_its_size_and_writes_nothing(tmp_path, monkeypatch, capsys):
    call = tiny_runs.in_process(tmp_path, monkeypatch)
    before = tree(tmp_path)
    assert call("--dry_run", "--algorithm=GAIT", "--nb_epochs=3") == 0
    out = capsys.readouterr().out
    assert tree(tmp_path) == before
    lines = out.splitlines()
    assert {"  algorithm = GAIT", "  nb_epochs = 3", "  init = orthogonal", "  gamma = 0.001"} <= set(lines)
    # two layers of 16 units, for images of 4 x 4 pixels: 2 (16^2 + 16) numbers of 8 bytes
    assert "parameters: 544, 1 MB" in lines
    assert any(
        line.startswith("folder: ") and line.endswith("/MNIST_GAIT_0.0OrthoReg_1Seed_0.0001LR_1L") for line in lines
    )
    epoch, total = expected(out)
    assert total == pytest.approx(3 * epoch, rel=0.01) and epoch > 0


def test_run_leaves_an_earlier_run_and_missing_data_alone(tmp_path, monkeypatch, capsys):
    call = tiny_runs.in_process(tmp_path, monkeypatch)
    assert call("--nb_epochs=1") == 0
    before = tree(tmp_path)
    assert call("--dry_run", "--nb_epochs=1", "--overwrite", "--seeds=1-3") == 0
    assert capsys.readouterr().out.count("folder: ") == 3
    assert call("--dry_run", f"--data_dir={tmp_path / 'none'}") == 2
    assert "would have to be downloaded first" in capsys.readouterr().err
    assert tree(tmp_path) == before


@pytest.mark.parametrize("variant", tiny_main.VARIANTS)
def test_main_tells_its_options_and_its_size_and_writes_nothing(variant, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    call = tiny_main.in_process(tmp_path, monkeypatch)
    before = tree(tmp_path)
    further = ["--save_NDI_angle", "--save_logs"] if variant == "DFC" else []
    assert call(*tiny_main.VARIANTS[variant], "--dry_run", "--epochs=5", *further) == 0
    out = capsys.readouterr().out
    assert tree(tmp_path) == before
    lines = out.splitlines()
    assert "  epochs = 5" in lines and f"folder: {tmp_path / 'run'}" in lines
    assert "angles are measured too, in time that is not counted here" in lines or variant != "DFC"
    numbers = expected(out)
    assert numbers[-1] == pytest.approx(sum(numbers[1:-1]) + 5 * numbers[0], rel=0.02)
    with pytest.raises(UsageError, match="--dry_run"):
        run_config.run("configs.configs_mnist.mnist_bp", {"dry_run": True})
    assert tree(tmp_path) == before


class Clock:
    """A clock that stands still, and a learner whose batches of a kind take some seconds of it."""

    now = 0.0

    def learner(self, *seconds):
        ahead = itertools.chain(seconds, itertools.repeat(seconds[-1]))
        return SimpleNamespace(step=lambda *_: self.wait(next(ahead)), finite=lambda: True, net=None)

    def wait(self, seconds):
        self.now += seconds
        return {}


def test_expected_seconds_are_those_of_all_passes_and_of_measuring(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(rehearsal.time, "perf_counter", lambda: clock.now)
    forward, feedback = clock.learner(100.0, 2.0), clock.learner(50.0, 3.0)
    samples = type("Samples", (), {"__len__": lambda _: 95, "batch": lambda *_: ((), ())})()
    watcher = SimpleNamespace(row=lambda net, epoch: clock.wait(6.0))
    for interval, rows in ((None, 1), (4, 2)):
        # 10 batches, measured after each epoch, or after the 4th and the 8th batch
        loop = Loop(forward, samples, Schedule(7, 10, interval), [watcher], None, quiet=True)
        loop.plan = EpochPlan([forward, feedback], [feedback] * 3)
        assert rehearsal.expected_seconds(loop) == (10 * (2.0 + 3.0) + rows * 6.0, 3 * 10 * 3.0)
        forward, feedback = clock.learner(9.0, 2.0), clock.learner(3.0)


def test_sweeps_refuse_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for script in (run_seed_robustness, run_pipeline, run_toy_exp_fig1D, run_toy_exp_fig3):
        with pytest.raises(SystemExit) as refused:
            script.main(["--dry_run"])
        assert refused.value.code == 2
        assert "--dry_run: tells about a single run" in capsys.readouterr().err
    found = subprocess.run([tiny_runs.ROOT / "sweep_seeds.sh", "1", "--dry_run"], capture_output=True, text=True)
    assert (found.returncode, found.stderr.partition(":")[0]) == (2, "sweep_seeds.sh")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "word, more, status",
    [
        ("--dry_run", (), 1),
        ("--dry_run", ("--list",), 2),
        ("-h", (), 1),
        ("--help", ("--status",), 2),
        ("--version", (), 1),
    ],
)
def test_a_sweep_that_reads_it_from_a_file_does_not_call_its_seeds_finished(word, more, status, tmp_path):
    (tmp_path / "options.txt").write_text(f"--nb_epochs=1\n{word}\n")
    words = [tiny_runs.ROOT / "sweep_seeds.sh", "7-8", "@options.txt", *more]
    environment = os.environ | {"PYTHON": sys.executable}
    found = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    first = found.stderr.splitlines()[0]
    assert found.returncode == status and first.startswith("run.py: ") and word in first
    assert [path.name for path in tmp_path.iterdir()] == ["options.txt"]
    assert "finished" not in found.stdout or "0 of 2 seeds finished" in found.stdout


@pytest.mark.parametrize("script", [run_seed_robustness, run_pipeline])
def test_a_sweep_whose_module_has_it_is_refused(script, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    many = script is run_pipeline
    name, text = ("many_dry", "config_collection = {'A': {}}\nresult_keys = statistics_keys = []\nconfig_fixed")
    if not many:
        name, text = "one_dry", "config"
    (tmp_path / f"{name}.py").write_text(f"{text} = {{'network_type': 'BP', 'dry_run': True}}\n")
    with pytest.raises(SystemExit) as refused:
        script.main([f"--config_module={name}", "--overwrite", "--folder=x" if many else "--name=x"])
    assert refused.value.code == 2
    assert "--dry_run: contradicts --load_or_start" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} <= {f"{name}.py", "__pycache__"}
