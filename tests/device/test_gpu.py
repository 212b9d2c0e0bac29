"""The same on a real GPU, where there is one: what a stand-in cannot prove, that cupy computes what numpy computes."""

import numpy as np
import pytest

import run
from core.backend import select_backend, to_host
from tests.device import networks

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("working_gpu")]

TOLERANCE = {"float64": 1e-10, "float32": 1e-4}  # of the largest entry; other libraries round in another order
every_variant = pytest.mark.parametrize("variant", networks.VARIANTS)


def assert_agree(found, expected, precision):
    found = to_host(found)
    assert found.dtype == expected.dtype == precision
    assert np.abs(found - expected).max() <= TOLERANCE[precision] * np.abs(expected).max()


@every_variant
@pytest.mark.parametrize("structure", networks.SIZES)
@pytest.mark.parametrize("strength", (0.0, 0.1), ids=("free", "regularised"))
def test_the_gradients_of_a_batch_are_those_of_numpy(precision, variant, structure, strength):
    """Whatever a table or a figure says of a GPU run must be true of the same run on a CPU."""
    found = {}
    for name in ("cupy", "numpy"):
        backend = select_backend(name, 0, precision)
        learner = networks.build_learner(backend, variant, structure, strength=strength)
        found[name] = learner.compute_gradients(*networks.samples(backend).batch())
    for mine, theirs in zip(found["cupy"], found["numpy"], strict=True):
        assert_agree(mine, theirs, precision)


@every_variant
def test_the_parameters_after_a_step_are_those_of_numpy(precision, variant):
    """The optimiser works in place on views of the device's memory; an update that got lost would be seen nowhere else."""
    found = {}
    for name in ("cupy", "numpy"):
        backend = select_backend(name, 0, precision)
        learner = networks.build_learner(backend, variant)
        learner.step(*networks.samples(backend).batch())
        found[name] = learner.net.parameters
    for mine, theirs in zip(found["cupy"], found["numpy"], strict=True):
        assert_agree(mine, theirs, precision)


@pytest.mark.parametrize("init", ("xavier", "orthogonal"))
def test_the_starting_weights_are_those_of_the_cpu_bit_for_bit(precision, init):
    """A seed names one experiment, wherever it is computed."""
    options, _ = run.parse([f"--init={init}", f"--precision={precision}"])
    device, host = (run.build_net(options, 50, 10, select_backend(name, 0, precision)) for name in ("cupy", "numpy"))
    for mine, theirs in zip(device.parameters, host.parameters, strict=True):
        assert mine.get().tobytes() == theirs.tobytes()


@every_variant
def test_a_run_trains_and_resumes_with_the_same_bits(run_main, variant):
    """One device, one order of additions: a difference after resuming is something that the checkpoint forgot."""
    options = [*networks.command(variant), "--backend=cupy", "--orthogonal_reg=0.1"]
    status, whole = run_main(*options, "--nb_epochs=2", results="whole")
    assert status == 0
    losses = np.loadtxt(whole / "training_loss.txt")
    assert losses[-1] < losses[0]
    run_main(*options, results="resumed")
    _, resumed = run_main(*options, "--nb_epochs=2", "--load", results="resumed")
    weights = sorted(file.name for file in whole.glob("*L*.npy"))
    assert len(weights) == 4
    for name in weights:
        assert (whole / name).read_bytes() == (resumed / name).read_bytes()


def test_singular_weights_are_noticed(run_main, monkeypatch):
    """The one check that rests on how cuSOLVER fails: with numbers that are not finite."""

    def singular(random, n_in, n_out):
        weights = random.standard_normal((n_in, n_out)) / n_in**0.5
        weights[:, 5] = 0.0
        return weights

    monkeypatch.setitem(run.INITIALISERS, "xavier", singular)
    status, folder = run_main("--backend=cupy", "--algorithm=TP", "--init=xavier")
    assert status == 3
    assert '"singular"' in (folder / "DONE").read_text()
