"""Steps of learning and evaluations on a device: no waiting, no mixing, one float type, the numbers of numpy."""

import itertools

import numpy as np
import pytest

from core.backend import select_backend, to_host
from gait.evaluation import CHUNK, evaluate
from tests.device import networks

# It is relative to the largest entry; both backends do the same arithmetic.
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
BATCH = slice(0, 10)
CASES = {
    f"{variant}-{structure}-{'linear' if linear else 'leaky'}-{strength}": {
        "variant": variant, "structure": structure, "linear": linear, "strength": strength
    }
    for variant, structure in itertools.product(networks.VARIANTS, networks.SIZES)
    for linear, strength in itertools.product((False, True), (0.0, 0.1))
}  # fmt: skip
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
on_both = pytest.mark.parametrize("name", ("cupy", "numpy"))


def backend_of(gpu, request, precision):
    gpu.float_type = np.dtype(precision)
    return select_backend(request, 0, precision)


def assert_agree(found, expected, precision):
    found, expected = to_host(found), to_host(expected)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype == precision
    assert np.abs(found - expected).max() <= TOLERANCE[precision] * np.abs(expected).max()


@every_case
def test_steps_wait_for_nothing_and_agree_with_numpy(gpu, precision, case):
    """A wait in the batch loop costs most of a GPU's speed; other numbers than numpy's are another experiment."""
    learners = []
    for request in ("cupy", "numpy"):
        backend = backend_of(gpu, request, precision)
        learner, data = networks.build_learner(backend, **case), networks.samples(backend)
        with gpu.no_synchronisation():
            # The last batch is a short one.
            for start in (0, 8, 16):
                learner.step(*data.batch(slice(start, start + 8)))
        learners.append(learner)
    device, host = learners
    for mine, theirs in zip(
        device.net.parameters + device.gradients, host.net.parameters + host.gradients, strict=True
    ):
        assert_agree(mine, theirs, precision)
    start = networks.host_weights(case["structure"])
    assert all(np.abs(layer.weights - w).max() > 1e-3 for layer, w in zip(host.net.layers, start, strict=True))


@every_case
@on_both
def test_every_array_keeps_the_float_type(gpu, precision, case, name):
    """One float64 constant makes every later product a float64 one; on a GPU that is many times slower."""
    backend = backend_of(gpu, name, precision)
    learner = networks.build_learner(backend, **case)
    inputs, target = networks.samples(backend).batch(BATCH)
    learner.step(inputs, target)
    trace, errors = learner.propagate(inputs, target)
    moments = [array for name, array in learner.state().items() if name[:11] in ("optimiser_m", "optimiser_v")]
    assert len(moments) == 2 * len(learner.net.parameters)
    arrays = [inputs, target, *trace, *errors, *learner.gradients, *learner.net.parameters, *moments]
    assert {array.dtype for array in arrays} == {np.dtype(precision)}


@every_case
@on_both
def test_a_step_changes_nothing_that_the_caller_holds(gpu, precision, case, name):
    """A rule that worked in place on a batch would spoil the next one, and on the CPU the images themselves."""
    backend = backend_of(gpu, name, precision)
    learner, data = networks.build_learner(backend, **case), networks.samples(backend)
    held = [*data.batch(BATCH), data.pixels, data.labels]
    before = [to_host(array).copy() for array in held]
    learner.step(*held[:2])
    learner.compute_gradients(*held[:2])
    for array, copy in zip(held, before, strict=True):
        assert to_host(array).tobytes() == copy.tobytes()


def test_an_evaluation_waits_a_fixed_number_of_times(gpu, precision):
    """One wait a chunk would leave the device idle between chunks; accuracy and loss are two
    numbers, so two waits at most."""
    waits = []
    for count in (CHUNK // 2, 3 * CHUNK + 1):
        backend = backend_of(gpu, "cupy", precision)
        net, data = networks.build_learner(backend).net, networks.samples(backend, count)
        gpu.synchronisations.clear()
        uploads = gpu.uploads
        evaluate(net, data)
        waits.append(len(gpu.synchronisations))
        assert gpu.uploads == uploads
    assert waits[0] == waits[1] <= 2


def test_an_evaluation_agrees_with_numpy(gpu, precision):
    """The curves of a GPU run are compared with those of a CPU run."""
    results = {}
    for request in ("cupy", "numpy"):
        backend = backend_of(gpu, request, precision)
        results[request] = evaluate(networks.build_learner(backend).net, networks.samples(backend, CHUNK + 1))
    assert all(type(value) is float for value in results["cupy"])
    assert results["cupy"][0] == results["numpy"][0]
    assert results["cupy"][1] == pytest.approx(results["numpy"][1], rel=TOLERANCE[precision])


def test_asking_whether_the_parameters_are_finite_waits_once(gpu):
    """One wait a matrix would be a dozen an epoch; a NaN in any of them must still be found."""
    learner = networks.build_learner(backend_of(gpu, "cupy", "float64"))
    gpu.synchronisations.clear()
    assert learner.finite() is True
    assert len(gpu.synchronisations) == 1
    learner.net.layers[1].biases[3] = float("nan")
    assert learner.finite() is False
