"""How many kernels a step launches on a GPU, where a small step costs what its launches cost: bounds for
every rule, old or new."""

import dataclasses
import itertools

import numpy as np
import pytest

from core.backend import select_backend, to_host
from core.clipping import SMALL, clip_each, clip_together
from core.optimisers import OPTIMISERS, Adam, Optimiser
from dfc.controller import Controller
from dfc.draws import Draws
from dfc.functions import ACTIVATIONS
from dfc.on_device import device_form
from dfc.simulation import simulate
from rules import FEEDBACK_NET_RULES
from tests.device import networks
from tests.device.test_dfc_steps import build, samples_of, settings_of
from tests.faults.tiny_main import RULES as FLAGS
from tests.faults.tiny_main import in_process
from tests.rules.test_feedback_together import PUBLISHED

# These are launches per layer and time point where the running sums are clipped.
CLIPPED = 26
# These are launches per layer and time point: two products, and less than that for all that is elementwise.
POINT = 6
# Launches per layer of a step without its time points, and those of a batch; forward pass, errors, gradients and update
# take about ten per layer.  Rules that are not listed may launch as many as the most costly ones.
DEFAULT = (40, 70)
BOUNDS = {"BP": (13, 22), "DFA": (19, 22), "DFC-SSA": (25, 22)}
# A solve of a layer is five launches, its check four.
SYSTEM_1 = {"BP": (12, 12), "TP": (24, 14), "GAIT": (22, 14)}
# Layers: sizes of the hidden ones.
HIDDEN = {3: "[7,5]", 4: "[7,5,5]"}
INSTANT = "--inst_transmission --proactive_controller --include_non_converged_samples"
# What a simulation may do in addition.
VARIANTS = {
    "plain": "",
    "delayed": "--apical_time_constant=0.3",
    "noisy": "--noisy_dynamics --sigma=1e-7",
    "at once": "--inst_system_dynamics",
    "memory-saving": "--efficient_controller",
    "memory-saving, at once": "--efficient_controller --inst_system_dynamics",
}
SIMULATED = [name for name, rule in FEEDBACK_NET_RULES.items() if rule.simulates]


def flags_of(rule, layers, steps=18, more=""):
    flags = PUBLISHED.get(rule, f"--network_type={rule}")
    if FEEDBACK_NET_RULES[rule].simulates:
        flags += f" {INSTANT}"
    return f"{flags} --size_hidden={HIDDEN[layers]} --tmax_di={steps} {more}"


def launches(gpu, flags):
    """The launches of a step that is not the first one, which may find that some arrays are still missing."""
    gpu.float_type = np.dtype("float64")
    backend = select_backend("cupy", 0, "float64")
    learner, batch = (
        build(backend, settings_of(flags), host_noise=False).learner,
        samples_of(backend).batch(slice(0, 8)),
    )
    for start in (0, 1):
        gpu.launches.clear()
        learner.step(*batch, (0, start))
    return gpu.launches.total()


@pytest.mark.parametrize("layers", HIDDEN)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("rule", SIMULATED)
def test_a_time_point_takes_few_launches_per_layer(gpu, rule, variant, layers):
    """A minibatch has a thousand time points; their launches decide how long it takes.  64 of them are four blocks of
    sums, and one block of the memory-saving variant."""
    if variant != "plain" and FEEDBACK_NET_RULES[rule].joint and ("at once" in variant or "saving" in variant):
        pytest.skip("the joint rule has no such dynamics")
    more = VARIANTS[variant]
    short, long = (launches(gpu, flags_of(rule, layers, steps, more)) for steps in (18, 82))
    assert long > short
    assert (long - short) / 64 <= POINT * layers


@pytest.mark.parametrize("layers", HIDDEN)
def test_a_running_sum_that_is_clipped_takes_more(gpu, layers):
    """Each of its time points needs the norms of the sums before it."""
    more = "--efficient_controller --clip_grad_norm=0.1"
    short, long = (launches(gpu, flags_of("DFC", layers, steps, more)) for steps in (18, 82))
    assert (long - short) / 64 <= CLIPPED * layers + 30


@pytest.mark.parametrize("rule", FEEDBACK_NET_RULES)
def test_a_step_of_system_2_takes_few_launches(gpu, rule):
    for layers in HIDDEN:
        steps = 18 if FEEDBACK_NET_RULES[rule].simulates else 0
        per_layer, fixed = BOUNDS.get(rule, DEFAULT)
        assert launches(gpu, flags_of(rule, layers)) <= per_layer * layers + fixed + steps * POINT * layers


@pytest.mark.parametrize("variant", networks.VARIANTS)
def test_a_step_of_system_1_takes_few_launches(gpu, variant):
    backend = select_backend("cupy", 0, "float64")
    learner, data = networks.build_learner(backend, variant), networks.samples(backend)
    per_layer, fixed = SYSTEM_1.get(variant, DEFAULT)
    gpu.launches.clear()
    learner.step(*data.batch(slice(0, 8)))
    assert 0 < gpu.launches.total() <= per_layer * len(learner.net.layers) + fixed


def test_the_tables_of_bounds_name_rules():
    assert BOUNDS.keys() <= FEEDBACK_NET_RULES.keys() and SYSTEM_1.keys() <= networks.VARIANTS.keys()


STEP = {"joined": Controller(0.1, 0.05, 4, k_p=0.1, tau_v=0.2, tau_a=0.05, inst_transmission=True)}
STEP |= {
    "delayed, noisy": dataclasses.replace(STEP["joined"], tau_a=0.3, sigma=0.1, sigma_output=0.1),
    "coloured, filtered": dataclasses.replace(STEP["joined"], tau_noise=0.5, tau_f=0.2, sigma=0.1, sigma_output=0.1),
    "at once": dataclasses.replace(STEP["joined"], inst_system_dynamics=True),
    "ideal": dataclasses.replace(STEP["joined"], ideal_feedback=True),
}


@pytest.mark.parametrize("controller", STEP.values(), ids=STEP)
@pytest.mark.parametrize("layers", HIDDEN)
def test_an_euler_step_takes_few_launches(gpu, controller, layers):
    gpu.float_type = np.dtype("float64")
    backend = select_backend("cupy", 0, "float64")
    run = build(backend, settings_of(f"--ndi --size_hidden={HIDDEN[layers]}"))
    net, (inputs, target) = run.learner.net, samples_of(backend).batch(slice(0, 8))
    state = device_form(controller)(net, net.forward(inputs), target, controller)
    noise = Draws(3, backend).noise((0, 0), 0).fill(2, state.vs) if controller.sigma else None
    for fresh in state.arrange(noise) if noise else (None, None):
        gpu.launches.clear()
        with gpu.no_synchronisation():
            state.control()
            state.follow(fresh)
    assert 2 * layers < gpu.launches.total() <= POINT * layers


@pytest.mark.parametrize("controller", STEP.values(), ids=STEP)
@pytest.mark.parametrize("hidden", [name for name in ACTIVATIONS if name != "linear"])
def test_a_simulation_on_a_gpu_has_the_numbers_of_numpy(gpu, controller, hidden):
    """The kernels are other text than the numpy form: each of their variants must be the same equation."""
    found = []
    for name in ("cupy", "numpy"):
        backend = select_backend(name, 0, "float64")
        flags = f"--ndi --hidden_activation={hidden} --output_activation=linear"
        net, (inputs, target) = build(backend, settings_of(flags)).learner.net, samples_of(backend).batch(slice(0, 8))
        state = simulate(
            net, net.forward(inputs), target, controller, Draws(3, backend, host_noise=True).noise((0, 0), 0)
        )
        found.append([state.u, *state.va, *state.vb, *state.vs, *state.r])
    for device, host in zip(*found, strict=True):
        assert isinstance(device, gpu.cupy.ndarray)
        np.testing.assert_allclose(to_host(device), host, rtol=1e-11, atol=1e-13)


ODD = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-300, 3.0, -3.0, 800.0, -800.0)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_term_of_an_activation_is_its_function(gpu, name):
    """Also where numbers are odd: NaN must stay NaN, so that a run that blows up is noticed."""
    from core.device_kernels import Kernel

    activation, values = ACTIVATIONS[name], np.array(ODD)
    v, r = gpu.cupy.asarray(values), gpu.cupy.zeros(len(ODD))
    Kernel("phi", "v", "r", f"r = {activation.formula};")(v, r)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(r.get(), activation.apply(values), rtol=1e-15)


# ---- optimisers and clipping


KINDS = {
    f"{name}, {decay}, {momentum}": (name, decay, momentum)
    for name, decay, momentum in itertools.product(OPTIMISERS, (0.0, 0.02), (0.0, 0.9))
    if not momentum or "momentum" in OPTIMISERS[name][1]
}


def optimisers(xp, name, decay, momentum):
    random = np.random.default_rng(1)
    arrays = [xp.asarray(random.standard_normal(shape)) for shape in ((4, 3), (5,), (2, 3, 2))]
    make, *_ = OPTIMISERS[name]
    optimiser = make(arrays, [0.1, 0.2, 0.3], weight_decay=decay, **{"momentum": momentum} if momentum else {})
    return optimiser, [[xp.asarray(random.standard_normal(a.shape)) for a in arrays] for _ in range(3)]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_an_optimiser_takes_one_kernel_per_array_and_has_the_numbers_of_numpy(gpu, kind):
    found = []
    for xp in (gpu.cupy, np):
        optimiser, gradients = optimisers(xp, *kind)
        for each in gradients:
            gpu.launches.clear()
            with gpu.no_synchronisation():
                optimiser.step(each)
        found.append([*optimiser.parameters, *(a for name, a in optimiser.state().items() if name != "steps")])
        assert gpu.launches.total() == (3 if xp is gpu.cupy else 0)
    for device, host in zip(*found, strict=True):
        np.testing.assert_allclose(device.get(), host, rtol=1e-13)


class Halves(Optimiser):
    """p <- p - lr g / 2: made up, without a kernel."""

    def _change(self, xp, index, g, moments, out):
        xp.multiply(g, 0.5 * self.learning_rate[index], out=out)


@pytest.mark.parametrize("decay", (0.0, 0.02))
def test_an_optimiser_without_a_kernel_has_the_numbers_of_numpy(gpu, decay):
    found = []
    for xp in (gpu.cupy, np):
        parameters = [xp.ones((3, 2)), xp.ones(3)]
        optimiser = Halves(parameters, 0.1, decay, ())
        with gpu.no_synchronisation():
            optimiser.step([xp.full(p.shape, 0.25) for p in parameters])
        found.append(parameters)
    for device, host in zip(*found, strict=True):
        np.testing.assert_array_equal(device.get(), host)


def test_adam_without_bias_correction_takes_one_kernel_per_array(gpu):
    parameters = [gpu.cupy.ones((3, 2)), gpu.cupy.ones(3)]
    optimiser = Adam(parameters, 0.1)
    gpu.launches.clear()
    optimiser.step([gpu.cupy.ones_like(p) for p in parameters])
    assert gpu.launches["adam"] == 2


@pytest.mark.parametrize("clip", (clip_each, clip_together))
@pytest.mark.parametrize("scale", (0.01, 10.0, np.nan))
def test_clipping_has_the_numbers_of_numpy(gpu, clip, scale):
    found = []
    for xp in (gpu.cupy, np):
        gradients = [xp.asarray(np.full(shape, scale)) for shape in ((4, 3), (5,))]
        clip(gradients, 1.0)
        found.append(gradients)
    for device, host in zip(*found, strict=True):
        np.testing.assert_allclose(device.get(), host, rtol=1e-14)
    if scale == 10.0 and clip is clip_each:
        assert found[0][1].get()[0] == pytest.approx(10.0 / (10.0 * 5**0.5 + SMALL))


# ---- copies from the host


@pytest.mark.parametrize("feedback", ("normal_controller", "special_controller", "frozen"))
@pytest.mark.parametrize("seeds", ("alone", "together"))
@pytest.mark.parametrize("rule", FLAGS)
def test_nothing_is_copied_to_the_device_per_batch(gpu, rule, seeds, feedback, tmp_path, monkeypatch):
    """A copy from the host is one more thing to start per batch: twice as many batches must not need one more."""
    call, uploads = in_process(tmp_path, monkeypatch), []
    more = ["--seeds=1-3"] * (seeds == "together")
    more += ["--freeze_fb_weights"] if feedback == "frozen" else [f"--fb_learning_rule={feedback}"]
    for size in (5, 10):
        before = gpu.uploads
        options = [*FLAGS[rule], *more, "--backend=cupy", f"--batch_size={size}", "--tmax_di=20"]
        assert call(*options, f"--out_dir={tmp_path / str(size)}") == 0
        uploads.append(gpu.uploads - before)
    assert uploads[0] == uploads[1]
