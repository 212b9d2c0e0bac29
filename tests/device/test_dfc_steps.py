"""Learners, rules, optimisers and evaluation of system 2 on a device: no mixing, one float
type, the numbers of numpy."""

import itertools
import json

import numpy as np
import pytest

from core.backend import Workers, select_backend, to_host
from core.together import joined
from datasets.samples import Arrays, Images, published_table
from dfc.build import build_system, bytes_of_a_run
from dfc.draws import Draws
from dfc.evaluation import CHUNK, beyond_bounds, evaluate
from main import parse
from tests.faults.tiny_main import RULES, arrays, checkpoint, in_process, results

# It is relative to the largest entry; differences of rates lose what the rates have in common.
TOLERANCE = {
    "float64": 1e-11,
    "float32": 2e-4,
}
SAMPLES, INPUTS, OUTPUTS = 20, 6, 3
BATCH = slice(0, 8)
# With 28 time points some samples of a batch converge and others do not; 18 are more than one block of noise.
COMMON = (
    f"--size_input={INPUTS} --size_hidden=[7,5] --size_output={OUTPUTS} --batch_size=8 --alpha_di=0.01 --dt_di=0.1 "
    "--k_p=0.5 --time_constant_ratio=0.2 --target_stepsize=0.001 --normalize_lr --tmax_di=28 --tmax_di_fb=18 --lr=0.05 "
    "--lr_fb=0.01 --sigma=0.05 --noise_K=0.05"
)
INSTANT = "--inst_transmission --proactive_controller"
ADAM = "--optimizer=Adam --lr=1e-6"
# The flags of each run, in addition to COMMON.
CASES = {
    "BP": "--network_type=BP --momentum=0.5 --lr=1e-5",
    "BP, last layer": f"--network_type=BP --shallow_training --fix_grad_norm=0.1 {ADAM}",
    "DFA": "--network_type=DFA --forward_wd=0.01",
    "DFA, sigmoid": "--network_type=DFA --output_activation=sigmoid --hidden_activation=[relu,leakyrelu] --no_bias",
    "DFC-SSA": f"--ndi {ADAM} --clip_grad_norm=0.01",
    "DFC-SSA, layer by layer rates": (
        "--ndi --lr=[0.1,0.05,0.02] --use_initial_activations --learning_rule=derivative_matrix"
    ),
    "DFC-SS": f"{INSTANT} --optimizer=RMSprop --lr=1e-5 --momentum=0.3",
    "DFC-SS, delayed": "--include_non_converged_samples --learning_rule=voltage_difference --hidden_activation=sigmoid",
    "DFC-SS, memory-saving": f"{INSTANT} --efficient_controller --epsilon_di=0.2",
    "DFC-SS, noisy": f"{INSTANT} --noisy_dynamics --include_non_converged_samples",
    "DFC": f"{INSTANT} --grad_deltav_cont",
    "DFC, all samples": (
        "--inst_system_dynamics --grad_deltav_cont --include_non_converged_samples --clip_grad_norm=0.01"
    ),
    "DFC, noisy": f"{INSTANT} --grad_deltav_cont --noisy_dynamics --sigma=1e-7",
    "DFC, step by step": f"{INSTANT} --grad_deltav_cont --efficient_controller --target_stepsize=0.01",
    "DFC, step by step, delayed": (
        "--grad_deltav_cont --efficient_controller --learning_rule=derivative_matrix --tmax_di=80"
    ),
    "DFC, step by step, clipped": (
        f"{INSTANT} --grad_deltav_cont --efficient_controller --clip_grad_norm=0.01 --no_bias"
    ),
    "Strong-DFC": f"--network_type=Strong-DFC --protocol=strong2022 {INSTANT} --lr=0.01 --sigma=1e-6",
    "Strong-DFC, all samples": (
        f"--network_type=Strong-DFC --strong_feedback --include_non_converged_samples {INSTANT} {ADAM}"
    ),
}
NOISY = [case for case, flags in CASES.items() if "noisy" in flags or "Strong" in flags]
# Feedback learning: its flags.
FEEDBACK = {
    "normal": "--fb_learning_rule=normal_controller --inst_transmission_fb --optimizer_fb=Adam",
    "normal, delayed": "--fb_learning_rule=normal_controller --clip_grad_norm=0.1 --freeze_fb_weights_output",
    "special": "--optimizer_fb=RMSprop --momentum=0.5",
    "old": "--ndi --fb_learning_rule=old_learning_rule --use_homeostatic_wd_fb --c_homeostatic=2 --lr_fb=3e-4",
}
every_case = pytest.mark.parametrize("case", CASES)
every_feedback_rule = pytest.mark.parametrize("case", FEEDBACK)


def backend_of(gpu, request, precision):
    gpu.float_type = np.dtype(precision)
    return select_backend(request, 0, precision)


def settings_of(flags, precision="float64"):
    return parse([*f"{COMMON} {flags}".split(), *["--single_precision"] * (precision == "float32")])


def build(backend, settings, host_noise=True):
    """A run; its noise is that of the CPU, so that the numbers can be compared, unless the GPU is to draw it."""
    system = build_system(settings.system, backend, Workers(1), Draws(3, backend, host_noise))
    system.settings = settings
    return system


def samples_of(backend, count=SAMPLES):
    random = np.random.default_rng(4)
    return Arrays(random.uniform(-1, 1, (count, INPUTS)), random.uniform(0.1, 0.9, (count, OUTPUTS)), backend)


def both(gpu, precision, flags):
    """(run, samples) on the stand-in and by numpy."""
    settings = settings_of(flags, precision)
    for name in ("cupy", "numpy"):
        backend = backend_of(gpu, name, precision)
        yield build(backend, settings), samples_of(backend)


def assert_agree(found, expected, precision):
    found, expected = to_host(found), to_host(expected)
    assert found.shape == expected.shape and found.dtype == expected.dtype == precision
    assert np.abs(found - expected).max() <= TOLERANCE[precision] * np.abs(expected).max()


def steps(learner, samples, gpu, may_wait, batches=3, watch=None):
    """Some steps; whatever makes the host wait for the device in them, as a list."""
    for start, passed in itertools.product(range(0, 8 * batches, 8), range(1)):
        batch = samples.batch(slice(start, start + 8))
        gpu.synchronisations.clear()
        if may_wait:
            learner.step(*batch, (passed, start), watch)
        else:
            with gpu.no_synchronisation():
                learner.step(*batch, (passed, start), watch)
        yield list(gpu.synchronisations)


@every_case
def test_steps_agree_with_numpy_and_do_not_wait(gpu, precision, case):
    """The noise of the host is moved, which counts as waiting; else nothing waits."""
    (device, data), (host, same_data) = both(gpu, precision, CASES[case])
    start = [p.copy() for p in host.learner.net.parameters]
    waits = list(steps(device.learner, data, gpu, may_wait=case in NOISY))
    list(steps(host.learner, same_data, gpu, may_wait=True))
    for found, expected in zip(device.learner.net.arrays, host.learner.net.arrays, strict=True):
        assert_agree(found, expected, precision)
    owned = [
        host.learner.net.parameters[index] is p
        for index in host.learner.owned
        for p in host.learner.optimiser.parameters
    ]
    assert any(owned)
    moved = [np.abs(p - before).max() for p, before in zip(host.learner.net.parameters, start, strict=True)]
    assert max(moved[index] for index in host.learner.owned) > 1e-5
    assert waits == [[]] * 3


@every_case
def test_steps_with_noise_of_the_gpu_do_not_wait(gpu, precision, case):
    backend = backend_of(gpu, "cupy", precision)
    run, data = build(backend, settings_of(CASES[case], precision), host_noise=False), samples_of(backend)
    assert list(steps(run.learner, data, gpu, may_wait=False)) == [[]] * 3


@every_case
def test_a_stack_of_seeds_has_the_numbers_of_each(gpu, case):
    """Products of stacks, sums over time and samples that are left out, on the device, without waiting."""
    backend, seeds = backend_of(gpu, "cupy", "float64"), (3, 1, 2)
    data, settings = samples_of(backend), settings_of(CASES[case])

    def learners():
        return [build_system(settings.system, backend, Workers(1), Draws(seed, backend)).learner for seed in seeds]

    alone, stacked = learners(), learners()
    whole = joined(stacked)
    for start in (0, 8, 16):
        batch = data.batch(slice(start, start + 8))
        for learner in alone:
            learner.step(*batch, (0, start))
        together = [gpu.cupy.stack([array] * len(seeds)) for array in batch]
        with gpu.no_synchronisation():
            whole.step(*together, (0, start))
    whole.give(stacked)
    for mine, theirs in zip(stacked, alone, strict=True):
        for found, expected in zip(mine.net.arrays, theirs.net.arrays, strict=True):
            assert_agree(found, expected, "float64")
        assert mine.end_epoch() == pytest.approx(theirs.end_epoch())


@every_feedback_rule
def test_feedback_steps_agree_with_numpy(gpu, precision, case):
    (device, data), (host, same_data) = both(gpu, precision, FEEDBACK[case])
    start = [q.copy() for q in host.learner.net.feedback]
    for run, samples in ((device, data), (host, same_data)):
        for learner in (run.pretraining, run.feedback):
            waits = list(steps(learner, samples, gpu, may_wait=True))
            # Apart from uploads of noise, nothing waits.
            assert waits == [[]] * 3
    for found, expected in zip(device.learner.net.arrays, host.learner.net.arrays, strict=True):
        assert_agree(found, expected, precision)
    moved = [np.abs(q - before).max() for q, before in zip(host.learner.net.feedback, start, strict=True)]
    assert all(moved[index] > 1e-5 for index in host.feedback.owned)


@every_case
def test_every_array_keeps_the_float_type(gpu, precision, case):
    """On numpy too, which would turn float32 into float64 without a word; the stand-in refuses that."""
    for run, data in both(gpu, precision, CASES[case]):
        list(steps(run.learner, data, gpu, may_wait=True))
        for array in (*run.learner.net.arrays, *run.learner.state().values()):
            if getattr(array, "dtype", np.dtype(int)).kind == "f":
                assert array.dtype == precision
        assert run.learner.state()["totals"].dtype == precision


@every_feedback_rule
def test_every_array_of_feedback_learning_keeps_the_float_type(gpu, precision, case):
    for run, data in both(gpu, precision, FEEDBACK[case]):
        list(steps(run.feedback, data, gpu, may_wait=True))
        for array in (*run.learner.net.feedback, *run.feedback.state().values()):
            if getattr(array, "dtype", np.dtype(int)).kind == "f":
                assert array.dtype == precision


@every_case
def test_totals_of_an_epoch_agree_and_cost_one_wait(gpu, precision, case):
    rows = []
    for run, data in both(gpu, precision, CASES[case]):
        list(steps(run.learner, data, gpu, may_wait=True))
        gpu.synchronisations.clear()
        rows.append(run.learner.end_epoch())
        assert len(gpu.synchronisations) <= 1
    assert rows[0].keys() == rows[1].keys()
    for name, value in rows[1].items():
        assert rows[0][name] == pytest.approx(value, rel=TOLERANCE[precision]) and type(rows[0][name]) is type(value)
        if name.endswith("verged"):
            assert rows[0][name] == value
    if "converged" in rows[1] and not case.startswith("DFC, step by step"):
        assert sum(rows[1][name] for name in ("converged", "diverged", "not_converged")) == SAMPLES
    if case in ("DFC", "Strong-DFC"):
        # Otherwise the second simulation of this rule is not seen.
        assert 0 < rows[1]["converged"] < SAMPLES


@every_case
def test_a_step_changes_nothing_that_the_caller_holds(gpu, precision, case):
    for run, data in both(gpu, precision, CASES[case]):
        held = [*data.batch(BATCH), data.x, data.y]
        before = [to_host(array).copy() for array in held]
        run.learner.step(*held[:2], (0, 0))
        for array, copy in zip(held, before, strict=True):
            assert to_host(array).tobytes() == copy.tobytes()


@pytest.mark.parametrize("kind", ["weight_product", "orthogonal", "xavier", "xavier_normal"])
def test_initial_weights_are_those_of_the_cpu_bit_for_bit(gpu, precision, kind):
    settings = settings_of(f"--initialization_K={kind} --noise_K=0.1", precision)
    device, host = (build(backend_of(gpu, name, precision), settings).learner.net for name in ("cupy", "numpy"))
    for found, expected in zip(device.arrays, host.arrays, strict=True):
        assert isinstance(found, gpu.cupy.ndarray)
        assert found.get().tobytes() == expected.tobytes()


def test_redrawn_feedback_is_that_of_the_cpu(gpu, precision):
    for flags in ("--reset_K", "--reset_K --noise_K=0.2"):
        settings = settings_of(f"{flags} --initialization_K=weight_product", precision)
        nets = []
        for name in ("cupy", "numpy"):
            run = build(backend_of(gpu, name, precision), settings)
            run.plan.begin_epoch(1)
            nets.append(run.learner.net)
        for found, expected in zip(nets[0].feedback, nets[1].feedback, strict=True):
            assert_agree(found, expected, precision)


@every_case
def test_state_goes_to_the_host_and_back(gpu, precision, case):
    """What a checkpoint keeps is all that the next step depends on."""
    (run, data), _ = both(gpu, precision, CASES[case])
    (other, _), _ = both(gpu, precision, CASES[case])
    list(steps(run.learner, data, gpu, may_wait=True, batches=2))
    other.learner.restore({name: to_host(array) for name, array in run.learner.state().items()})
    for learner in (run.learner, other.learner):
        learner.step(*data.batch(slice(16, 20)), (0, 2))
    for mine, theirs in zip(run.learner.net.arrays, other.learner.net.arrays, strict=True):
        assert mine.get().tobytes() == theirs.get().tobytes()
    assert run.learner.end_epoch() == other.learner.end_epoch()


def test_the_memory_of_all_time_points_is_counted(gpu):
    """Several networks that do not fit must be refused beforehand; only a GPU keeps all time points, and only for some
    rules. It needs the memory of a batch twice: for the recorded step, and for one that is made as it is written."""
    backends = {name: backend_of(gpu, name, "float64") for name in ("cupy", "numpy")}

    def needed(name, flags):
        return bytes_of_a_run(settings_of(f"{INSTANT} {flags}").system, 8, backends[name])

    point, few, all_points = 8 * (INPUTS + 7 + 5 + OUTPUTS) * 8, 60, 2 * 28
    more = {
        "--grad_deltav_cont": few + 2 * all_points,
        "--grad_deltav_cont --include_non_converged_samples": few,
        "": few,
        "--network_type=BP": 6,
    }
    for flags, points in more.items():
        assert needed("cupy", flags) == needed("numpy", flags) + points * point


# ---- evaluation and stopping


TASKS = {
    "regression": "",
    "classification": "--dataset=mnist --output_activation=softmax --size_input=784 --size_output=10",
    "autoencoder": "--dataset=mnist_autoencoder --size_input=784 --size_output=784",
}


@pytest.mark.parametrize("task", TASKS)
def test_an_evaluation_agrees_with_numpy_and_waits_once(gpu, precision, task):
    """Means over batches, the last a short one; one wait however many chunks there are."""
    found = []
    for name, count in itertools.product(("cupy", "numpy"), (5, 2 * CHUNK * 8 + 3)):
        backend = backend_of(gpu, name, precision)
        net = build(backend, settings_of(f"{TASKS[task]} --ndi", precision)).learner.net
        if task == "regression":
            samples = samples_of(backend, count)
        else:
            random = np.random.default_rng(2)
            pixels, labels = random.integers(0, 256, (count, 784), dtype=np.uint8), random.integers(0, 10, count)
            targets = "inputs" if task == "autoencoder" else "labels"
            samples = Images(pixels, labels, published_table(0.1307, 0.3081), backend, targets)
        gpu.synchronisations.clear()
        loss, accuracy = evaluate(net, samples, 8, Workers(1), task == "classification")
        assert len(gpu.synchronisations) == (name == "cupy")
        assert type(loss) is float and (type(accuracy) is float) == (task == "classification")
        found.append((loss, accuracy))
    for device, host in zip(found[:2], found[2:], strict=True):
        assert device[0] == pytest.approx(host[0], rel=TOLERANCE[precision])
        assert device[1] == host[1]


def test_asking_whether_to_stop_waits_once(gpu):
    run, _ = next(both(gpu, "float64", "--ndi"))
    for symmetric in (False, True):
        gpu.synchronisations.clear()
        assert not beyond_bounds(run.learner.net, symmetric)
        assert len(gpu.synchronisations) == 1
    run.learner.net.feedback[1][2, 1] = 1001.0
    assert beyond_bounds(run.learner.net)


def test_labels_and_images_of_a_batch_in_any_order(gpu, precision):
    """The order of the samples is drawn on the host; a batch of it must not mix."""
    random = np.random.default_rng(2)
    pixels, labels = random.integers(0, 256, (9, 784), dtype=np.uint8), random.integers(0, 10, 9)
    found = []
    for name in ("cupy", "numpy"):
        backend = backend_of(gpu, name, precision)
        images = Images(pixels, labels, published_table(0.1307, 0.3081), backend)
        found.append([to_host(array) for array in images.batch(Draws(1, backend).order(3, 9)[2:6])])
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(*found, strict=True))
    assert found[0][0].dtype == precision


@pytest.mark.parametrize("rule", ["BP", "DFA", "DFC-SS", "DFC-SSA", "DFC", "Strong-DFC"])
def test_classification_steps_agree_with_numpy(gpu, precision, rule):
    """Labels are integers on the device, and right answers are counted there."""
    flags = "--grad_deltav_cont" if rule == "DFC" else f"--network_type={rule}"
    flags += " --strong_feedback --include_non_converged_samples" * (rule == "Strong-DFC")
    flags += (
        f" {INSTANT} {TASKS['classification']} --size_hidden=8 --num_hidden=2 --lr={1e-5 if rule == 'BP' else 0.05}"
    )
    random = np.random.default_rng(2)
    pixels, labels = random.integers(0, 256, (SAMPLES, 784), dtype=np.uint8), random.integers(0, 10, SAMPLES)
    rows, nets = [], []
    for name in ("cupy", "numpy"):
        backend = backend_of(gpu, name, precision)
        run = build(backend, settings_of(flags, precision))
        images = Images(pixels, labels, published_table(0.1307, 0.3081), backend)
        list(steps(run.learner, images, gpu, may_wait=True))
        rows.append(run.learner.end_epoch())
        nets.append(run.learner.net)
    assert rows[0]["acc_train"] == pytest.approx(rows[1]["acc_train"])
    assert rows[0]["loss_train"] == pytest.approx(rows[1]["loss_train"], rel=TOLERANCE[precision])
    for found, expected in zip(nets[0].arrays, nets[1].arrays, strict=True):
        assert_agree(found, expected, precision)


# ---- whole runs


@pytest.mark.parametrize("rule", RULES)
def test_a_run_writes_host_files_with_the_numbers_of_numpy_and_goes_on(gpu, rule, tmp_path, monkeypatch):
    """Whoever reads a results folder must not need a GPU, nor find another experiment in it."""
    call = in_process(tmp_path, monkeypatch)
    options = [*RULES[rule], "--fb_learning_rule=normal_controller", "--optimizer=Adam", "--lr=1e-6", "--host_noise"]
    assert call(*options, "--backend=numpy", f"--out_dir={tmp_path / 'numpy'}") == 0
    assert call(*options, "--backend=cupy") == 0
    assert call(*options, "--backend=cupy", "--epochs=1", f"--out_dir={tmp_path / 'parts'}") == 0
    assert call(*options, "--backend=cupy", "--load", f"--out_dir={tmp_path / 'parts'}") == 0
    assert results(tmp_path / "parts") == results(tmp_path / "run")
    assert checkpoint(tmp_path / "parts") == checkpoint(tmp_path / "run")
    found, expected = arrays(tmp_path / "run"), arrays(tmp_path / "numpy")
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert_agree(found[name], array, "float64")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["device"].startswith("GPU 0 (Stand-in GPU), cupy") and config["options"]["backend"] == "cupy"
