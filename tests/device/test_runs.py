"""Whole runs of run.py on the stand-in for cupy: files, curves, resuming, singular weights, the choice of the GPU."""

import json
import signal

import numpy as np
import pytest

import run
from core.backend import select_backend
from core.files import read_arrays
from core.program import EXIT_DIVERGED
from datasets.samples import Images
from gait.learner import Learner
from tests.device import networks

every_variant = pytest.mark.parametrize("variant", networks.VARIANTS)
every_inverting_variant = pytest.mark.parametrize("variant", [name for name in networks.VARIANTS if name != "BP"])

TOWER = ("--tower", "--linear", "--orthogonal_reg=0.1", "--orthogonal_init", "--precision=float64")
SQUARE = ("--nb_layers=1", "--precision=float32")
# It is relative to the loss; Adam turns a rounding error of a tiny gradient into one of the step.
TOLERANCE = {
    TOWER: 1e-8,
    SQUARE: 1e-4,
}


@pytest.fixture
def guarded_gpu(gpu, monkeypatch):
    """The stand-in, in an installation of run.py that may not wait for the device from the cutting of
    a batch to its update."""
    for owner, name in ((Images, "batch"), (Learner, "step")):
        monkeypatch.setattr(owner, name, guard(gpu, getattr(owner, name)))
    return gpu


def guard(gpu, function):
    def guarded(*args):
        with gpu.no_synchronisation():
            return function(*args)

    return guarded


def done(folder):
    return json.loads((folder / "DONE").read_text())


@every_variant
@pytest.mark.parametrize("structure", (TOWER, SQUARE), ids=("tower", "square"))
def test_a_run_writes_host_files_with_the_numbers_of_numpy(guarded_gpu, run_main, variant, structure):
    """Whoever reads a results folder must not need a GPU, nor find another experiment in it."""
    precision = structure[-1].partition("=")[2]
    guarded_gpu.float_type = np.dtype(precision)
    options = [*networks.command(variant), *structure, "--nb_epochs=2", *["--solver=direct"] * (variant != "BP")]
    status, folder = run_main(*options, "--backend=cupy", results="device")
    assert status == 0
    assert done(folder)["outcome"] == "finished"
    for name, array in read_arrays(folder / "checkpoint.npz").items():
        assert array.dtype == precision or name.startswith("series_") or array.ndim == 0, name
    layers = sorted(folder.glob("*Lweights.npy"))
    assert len(layers) == (4 if structure is TOWER else 2)
    for file in (*layers, *folder.glob("*Lbiases.npy")):
        assert np.load(file, allow_pickle=False).dtype == precision

    _, expected = run_main(*options, "--backend=numpy", results="host")
    for name in ("training", "test"):
        assert np.array_equal(np.loadtxt(folder / f"{name}_acc.txt"), np.loadtxt(expected / f"{name}_acc.txt"))
        losses = np.loadtxt(folder / f"{name}_loss.txt")
        assert losses == pytest.approx(np.loadtxt(expected / f"{name}_loss.txt"), rel=TOLERANCE[structure])
        assert losses.shape == (3,)


def test_config_says_which_gpu_computed(guarded_gpu, run_main, capsys):
    """A run's numbers and times mean little without the machine that they come from."""
    guarded_gpu.devices = 2
    status, folder = run_main("--backend=cupy", "--device=1")
    assert status == 0
    config = json.loads((folder / "config.json").read_text())
    assert config["device"].startswith("GPU 1 (Stand-in GPU), cupy")
    assert config["versions"]["cupy"] == guarded_gpu.cupy.__version__


@pytest.mark.parametrize("init", ("xavier", "orthogonal"))
def test_the_starting_weights_are_those_of_the_cpu_bit_for_bit(gpu, precision, init):
    """A seed names one experiment, wherever it is computed."""
    gpu.float_type = np.dtype(precision)
    options, _ = run.parse([f"--init={init}", f"--precision={precision}", "--nb_layers=2"])
    device, host = (run.build_net(options, 50, 10, select_backend(name, 0, precision)) for name in ("cupy", "numpy"))
    for mine, theirs in zip(device.parameters, host.parameters, strict=True):
        assert isinstance(mine, gpu.cupy.ndarray)
        assert mine.get().tobytes() == theirs.tobytes()


@every_variant
def test_a_resumed_run_ends_with_the_same_bits(guarded_gpu, run_main, variant):
    """A checkpoint that forgot something of the device's state would continue another run."""
    options = [*networks.command(variant), "--backend=cupy", "--orthogonal_reg=0.1"]
    _, whole = run_main(*options, "--nb_epochs=2", results="whole")
    run_main(*options, results="resumed")
    status, resumed = run_main(*options, "--nb_epochs=2", "--load", results="resumed")
    assert status == 0
    expected, found = read_arrays(whole / "checkpoint.npz"), read_arrays(resumed / "checkpoint.npz")
    assert expected.keys() == found.keys()
    different = [name for name in expected if expected[name].tobytes() != found[name].tobytes()]
    assert set(different) <= {"seconds", "series_seconds", "sha256"}
    for file in whole.glob("*L*.npy"):
        assert file.read_bytes() == (resumed / file.name).read_bytes()


def test_a_run_waits_no_more_often_for_more_batches(guarded_gpu, run_main):
    """Waiting is for evaluations and checkpoints; six batches of an epoch must not cost more waits than two."""
    waits = []
    for size in (60, 20):
        guarded_gpu.synchronisations.clear()
        run_main("--backend=cupy", "--algorithm=TP", f"--batch_size={size}", results=f"batches of {size}")
        waits.append(len(guarded_gpu.synchronisations))
    assert waits[0] == waits[1]


def singular(random, n_in, n_out):
    """A stand-in for an initialiser: a matrix with a column of zeros, whose LU factorisation has an exact zero."""
    weights = random.standard_normal((n_in, n_out)) / n_in**0.5
    weights[:, 5] = 0.0
    return weights


@every_inverting_variant
@pytest.mark.parametrize("interval", ([], ["--eval_interval=1"]), ids=("each epoch", "each batch"))
def test_singular_weights_end_the_run_as_on_the_cpu(gpu, run_main, monkeypatch, capsys, variant, interval):
    """cupy says nothing about a singular matrix: unchecked, the run would go on with NaN or blame the learning rate."""
    monkeypatch.setitem(run.INITIALISERS, "xavier", singular)
    options = [*networks.command(variant), "--init=xavier", "--nb_epochs=2", *interval]
    outcomes = {}
    for backend in ("numpy", "cupy"):
        status, folder = run_main(*options, f"--backend={backend}", results=backend)
        outcomes[backend] = done(folder)
        assert status == EXIT_DIVERGED == 3
        assert "no inverse" in capsys.readouterr().err
        assert not list(folder.glob("*.np[yz]"))
        # What was measured before training is kept.
        assert np.isfinite(np.loadtxt(folder / "training_loss.txt", ndmin=1)).all()
    assert outcomes["cupy"]["outcome"] == outcomes["numpy"]["outcome"] == "singular"
    assert outcomes["cupy"]["epoch"] == outcomes["numpy"]["epoch"]
    assert outcomes["cupy"]["reason"] == outcomes["numpy"]["reason"]


def spoil_the_third_step(monkeypatch, then=lambda: None):
    """Make a weight matrix singular before the first step of the second epoch, and call `then` after it."""
    step = Learner.step

    def spoiled(learner, inputs, target, place, *watch):
        if place == (1, 0):
            learner.net.layers[1].weights[:, 5] = 0.0
            learner.net.weights_changed()
        step(learner, inputs, target, place, *watch)
        if place == (1, 0):
            then()

    monkeypatch.setattr(Learner, "step", spoiled)


def test_weights_that_become_singular_leave_the_last_good_checkpoint(gpu, run_main, monkeypatch):
    """The epochs before are worth keeping; a checkpoint of NaN would be worth nothing."""
    spoil_the_third_step(monkeypatch)
    status, folder = run_main("--backend=cupy", "--algorithm=TP", "--nb_epochs=2")
    assert (status, done(folder)["outcome"]) == (3, "singular")
    checkpoint = read_arrays(folder / "checkpoint.npz")
    assert checkpoint["epoch"] == 1
    assert all(np.isfinite(array).all() for array in checkpoint.values())


def test_stopping_after_a_singular_solve_does_not_save_garbage(gpu, run_main, monkeypatch):
    """Ctrl-C saves the weights between two evaluations, before anybody has looked whether they are numbers."""
    spoil_the_third_step(monkeypatch, then=lambda: signal.raise_signal(signal.SIGINT))
    _, folder = run_main("--backend=cupy", "--algorithm=TP", "--nb_epochs=2")
    assert all(np.isfinite(array).all() for array in read_arrays(folder / "checkpoint.npz").values())


def test_threads_asked_for_beside_a_gpu_do_not_leave_its_device(gpu, run_main):
    """CUDA's current device is per thread: a second thread would compute on GPU 0 with the arrays of GPU 1."""
    gpu.devices = 2
    assert run_main("--backend=cupy", "--device=1", "--threads=2")[0] == 2
    assert run_main("--backend=auto", "--device=1", "--threads=2")[0] == 0
