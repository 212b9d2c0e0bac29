"""The same on a real GPU, where there is one: what a stand-in cannot prove, that cupy computes what numpy computes."""

import numpy as np
import pytest

import run
from core.backend import Workers, select_backend, to_host
from core.device_kernels import NORMALS
from core.streams import noise_key
from core.together import joined
from dfc.build import build_system
from dfc.draws import Draws
from tests.device import networks
from tests.device.philox import normal
from tests.device.test_dfc_steps import CASES, FEEDBACK, samples_of, settings_of
from tests.faults.tiny_main import RULES, checkpoint, in_process, results

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("working_gpu")]

# It is relative to the largest entry; other libraries round in another order.
TOLERANCE = {"float64": 1e-10, "float32": 1e-4}
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
    """The optimiser works in place on views of the device's memory; an update that got lost
    would be seen nowhere else."""
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


# ---- system 2


def learner_of(backend, flags, seed=3, feedback=False, host_noise=True):
    system = build_system(settings_of(flags).system, backend, Workers(1), Draws(seed, backend, host_noise))
    return system.feedback if feedback else system.learner


@pytest.mark.parametrize("case", [*CASES, *FEEDBACK])
def test_steps_of_system_2_have_the_numbers_of_numpy(case):
    """Noise drawn on the host, so that both have the same."""
    flags, feedback = (CASES | FEEDBACK)[case], case in FEEDBACK
    nets = []
    for name in ("cupy", "numpy"):
        backend = select_backend(name, 0, "float64")
        learner, data = learner_of(backend, flags, feedback=feedback), samples_of(backend)
        for start in (0, 8, 16):
            learner.step(*data.batch(slice(start, start + 8)), (0, start))
        nets.append(learner.net)
    for mine, theirs in zip(nets[0].arrays, nets[1].arrays, strict=True):
        found = to_host(mine)
        assert np.abs(found - theirs).max() <= 1e-7 * np.abs(theirs).max()


@pytest.mark.parametrize("case", CASES)
def test_a_stack_of_seeds_has_the_numbers_of_each(case):
    """The noise of the GPU is that of each seed, and products of stacks are the products."""
    backend, seeds = select_backend("cupy", 0, "float64"), (3, 1, 2)
    data = samples_of(backend)
    alone, stacked = ([learner_of(backend, CASES[case], seed, host_noise=False) for seed in seeds] for _ in range(2))
    whole = joined(stacked)
    for start in (0, 8):
        batch = data.batch(slice(start, start + 8))
        for learner in alone:
            learner.step(*batch, (0, start))
        whole.step(*([backend.xp.stack([array] * len(seeds)) for array in batch]), (0, start))
    whole.give(stacked)
    for mine, theirs in zip(stacked, alone, strict=True):
        for found, expected in zip(mine.net.arrays, theirs.net.arrays, strict=True):
            expected = to_host(expected)
            assert np.abs(to_host(found) - expected).max() <= 1e-7 * np.abs(expected).max()


def test_the_gpu_draws_the_normals_that_the_tests_compute(precision):
    """Bits of integers are the same everywhere; logarithm, root and cosine round."""
    backend, place, first = select_backend("cupy", 0, precision), (5 << 40) + (7 << 16) + 2, 1 << 33
    keys = np.array([noise_key(seed) for seed in (1, 2)])
    z = backend.xp.empty((2, 50, 40), dtype=backend.dtype)
    NORMALS(backend.bytes(keys)[:, None, None], place, first, 2000, z)
    index = np.arange(first, first + 2000, dtype=np.uint64).reshape(50, 40)
    expected = normal(np.zeros(1, precision), keys[:, None, None], np.uint64(place), index[None])
    np.testing.assert_allclose(to_host(z), expected, rtol=0, atol={"float64": 1e-13, "float32": 3e-6}[precision])


@pytest.mark.parametrize("rule", RULES)
def test_a_run_of_main_trains_alone_and_in_a_stack_and_resumes_with_the_same_bits(rule, tmp_path, monkeypatch):
    call = in_process(tmp_path, monkeypatch)
    options = [*RULES[rule], "--fb_learning_rule=normal_controller", "--optimizer=Adam", "--lr=1e-6", "--backend=cupy"]
    assert call(*options) == 0
    assert call(*options, "--epochs=1", f"--out_dir={tmp_path / 'parts'}") == 0
    assert call(*options, "--load", f"--out_dir={tmp_path / 'parts'}") == 0
    assert results(tmp_path / "parts") == results(tmp_path / "run")
    assert checkpoint(tmp_path / "parts") == checkpoint(tmp_path / "run")
    assert call(*options, "--seeds=1-10", f"--out_dir={tmp_path / 'stack'}") == 0
