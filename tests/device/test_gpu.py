"""The same on a real GPU, where there is one: what a stand-in cannot prove, that cupy computes what numpy computes."""

import numpy as np
import pytest

import run
from core import together
from core.backend import Workers, matmul, select_backend, solve, to_host
from core.cublas import Cublas, blas_of
from core.device_kernels import NORMALS
from core.replay import Replay
from core.streams import noise_key
from core.together import joined
from dfc.build import build_system
from dfc.draws import Draws
from tests.device import networks
from tests.device.model_cublas import OUTPUTS, PRODUCTS, layouts
from tests.device.philox import normal
from tests.device.recording import MORE, RUNS, AsWritten, both
from tests.device.test_dfc_steps import CASES, FEEDBACK, samples_of, settings_of
from tests.faults.tiny_main import RULES, VARIANTS, checkpoint, in_process, results

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


# ---- products and recorded steps


@pytest.mark.parametrize("out", OUTPUTS)
@pytest.mark.parametrize("case", PRODUCTS)
def test_products_of_any_layout_are_those_of_numpy(precision, case, out):
    """cuBLAS knows leading dimensions, not strides: one wrong number, and it multiplies something else."""
    backend, random = select_backend("cupy", 0, precision), np.random.default_rng(2)
    shapes, how = PRODUCTS[case][:2], PRODUCTS[case][2:]
    host = [random.standard_normal(shape).astype(precision) for shape in shapes]
    a, b = (layouts(array, layout, backend.xp) for array, layout in zip(host, how, strict=True))
    expected = host[0] @ host[1]
    if out is None:
        found = matmul(a, b)
    else:
        before = random.standard_normal(expected.shape).astype(precision)
        found = layouts(before, out, backend.xp)
        matmul(a, b, out=found)
        if expected.size:
            assert_agree(found, expected, precision)
        found[...] = backend.xp.asarray(before)
        matmul(a, b, out=found, add=True)
        expected = before + expected
    assert found.shape == expected.shape
    if expected.size:
        assert_agree(found, expected, precision)


@pytest.mark.parametrize("size", (1, 3, 10, 40, 300))
def test_linear_systems_have_the_solutions_of_numpy(precision, size):
    backend, random = select_backend("cupy", 0, precision), np.random.default_rng(2)
    matrices = (random.standard_normal((2, 6, size, size)) + 2 * size**0.5 * np.eye(size)).astype(precision)
    right = random.standard_normal((2, 6, size)).astype(precision)
    found = solve(*(backend.xp.asarray(each) for each in (matrices, right)))
    assert_agree(found, np.linalg.solve(matrices, right[..., None])[..., 0], precision)


def test_a_singular_system_has_no_finite_solution(precision):
    """On a GPU nobody is told; the numbers must tell."""
    xp = select_backend("cupy", 0, precision).xp
    matrices = xp.zeros((4, 3, 3), dtype=precision)
    assert not bool(xp.isfinite(solve(matrices, xp.ones((4, 3), dtype=precision))).any())


def test_cublas_can_be_called():
    """Otherwise every product would be that of cupy, which cannot be recorded."""
    assert type(blas_of(select_backend("cupy", 0).xp)) is Cublas


@pytest.mark.parametrize(("rule", "more", "seeds"), RUNS)
def test_recorded_steps_of_main_have_the_bits_of_steps_as_they_are_written(rule, more, seeds, tmp_path, monkeypatch):
    """The stand-in records what it knows of cupy; here CUDA records, with the kernels that cuBLAS chooses."""
    launched, launch = [], Replay._launch
    monkeypatch.setattr(Replay, "_launch", lambda *args: (launched.append(1), launch(*args)))
    call = in_process(tmp_path, monkeypatch)
    options = [*VARIANTS[rule], "--backend=cupy", "--batch_size=4", *MORE[more], *seeds]
    recorded, written = both(monkeypatch, tmp_path, lambda folder: call(*options, f"--out_dir={folder}"), seeds)
    assert recorded == written
    # The joint rule has no memory-saving variant.
    assert launched or recorded[0] == 2


@pytest.mark.parametrize("rule", ("BP", "GAIT", "TP"))
def test_recorded_steps_of_run_have_the_bits_of_steps_as_they_are_written(rule, run_main, monkeypatch):
    """cuSOLVER cannot be recorded: GAIT and TP go on as they are written, from the same state."""
    launched, launch = [], Replay._launch
    monkeypatch.setattr(Replay, "_launch", lambda *args: (launched.append(1), launch(*args)))
    options = [f"--algorithm={rule}", "--backend=cupy", "--batch_size=20", "--orthogonal_reg=0.1", "--nb_epochs=2"]
    _, recorded = run_main(*options, results="recorded")
    monkeypatch.setattr(together, "Replay", AsWritten)
    _, written = run_main(*options, results="written")
    assert bool(launched) == (rule == "BP")
    for name in sorted(file.name for file in recorded.glob("*L*.npy")):
        assert (recorded / name).read_bytes() == (written / name).read_bytes()


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
