"""A stack of seeds of a network with feedback weights: every seed gets the bits that it gets alone."""

import numpy as np
import pytest

from core.backend import Workers, block_size, select_backend
from dfc import network
from dfc.build import build_system
from dfc.draws import Draws
from dfc.feedback_learning import Q_RULES
from main import parse
from rules import FEEDBACK_NET_RULES
from tests.rules.test_together import SEEDS, assert_same_states, equal, stack

SIZES = "--size_input=6 --size_hidden=[7,5] --size_output=3"
# With 28 time points some samples of a batch converge and others do not; 18 are more than one block of noise.
COMMON = (
    f"{SIZES} --batch_size=9 --alpha_di=0.01 --dt_di=0.1 --k_p=0.5 --time_constant_ratio=0.2 --target_stepsize=0.001 "
    "--normalize_lr --tmax_di=28 --tmax_di_fb=18 --lr=0.05 --lr_fb=0.01 --sigma=0.05 --noise_K=0.05"
)
IMAGES = "--dataset=mnist --output_activation=softmax --size_input=784 --size_output=10"
INSTANT = "--inst_transmission --proactive_controller"
STRONG = f"{IMAGES} {INSTANT} --protocol=strong2022 --strong_feedback --include_non_converged_samples"
# These are flags of main.py for every published rule; another one is asked for by its name.
PUBLISHED = {
    "BP": "--network_type=BP",
    "DFA": "--network_type=DFA",
    "DFC": "--grad_deltav_cont",
    "DFC-SS": "",
    "DFC-SSA": "--ndi",
}
CASES = {name: PUBLISHED.get(name, f"--network_type={name}") for name in FEEDBACK_NET_RULES} | {
    "labels, BP": f"--network_type=BP {IMAGES} --momentum=0.5 --lr=1e-3",
    "labels, DFC-SSA": f"--ndi {IMAGES} --optimizer=Adam --lr=1e-3 --clip_grad_norm=0.01",
    "last layer, one norm": "--network_type=BP --shallow_training --fix_grad_norm=0.1 --optimizer=Adam --lr=1e-6",
    "sigmoid, no biases": (
        "--network_type=DFA --output_activation=sigmoid --hidden_activation=[relu,leakyrelu] --no_bias"
    ),
    "decay": "--network_type=DFA --forward_wd=0.01",
    "rates of the forward pass": (
        "--ndi --lr=[0.1,0.05,0.02] --use_initial_activations --learning_rule=derivative_matrix"
    ),
    "RMSprop": f"{INSTANT} --optimizer=RMSprop --lr=1e-5 --momentum=0.3",
    "delayed": "--include_non_converged_samples --learning_rule=voltage_difference --hidden_activation=sigmoid",
    "memory-saving": f"{INSTANT} --efficient_controller --epsilon_di=0.2",
    "noisy": f"{INSTANT} --noisy_dynamics --include_non_converged_samples",
    "some samples": f"{INSTANT} --grad_deltav_cont",
    "few samples": f"{INSTANT} --grad_deltav_cont --alpha_di=0.0001",
    "some samples, weighted": f"{INSTANT} --grad_deltav_cont --learning_rule=derivative_matrix",
    "all samples": "--inst_system_dynamics --grad_deltav_cont --include_non_converged_samples --clip_grad_norm=0.01",
    "some samples, noisy": f"{INSTANT} --grad_deltav_cont --noisy_dynamics --sigma=1e-7",
    "step by step": f"{INSTANT} --grad_deltav_cont --efficient_controller --clip_grad_norm=0.01 --no_bias",
    "labels, Strong-DFC": (
        f"--network_type=Strong-DFC {STRONG} --scaling_fb_updates --optimizer=Adam --lr=1e-3 --clip_grad_norm=1"
    ),
    "labels, two phases": f"--network_type=Strong-DFC-2phase {STRONG} --use_bp_updates",
    "filtered": f"--network_type=Strong-DFC {INSTANT} --strong_feedback --low_pass_filter_u --tau_f=0.7",
    "ideal": f"--network_type=Strong-DFC {INSTANT} --use_jacobian_as_fb",
    "wide output": "--ndi --size_hidden=[4,2] --freeze_fb_weights",
}
OLD = "--ndi --fb_learning_rule=old_learning_rule"
FEEDBACK = {name: f"--fb_learning_rule={name}" for name in Q_RULES} | {
    "old_learning_rule": OLD,
    "instantaneous": "--fb_learning_rule=normal_controller --inst_transmission_fb --optimizer_fb=Adam",
    "clipped": "--fb_learning_rule=normal_controller --clip_grad_norm=0.001 --freeze_fb_weights_output",
    "momentum": "--optimizer_fb=RMSprop --momentum=0.5",
    "homeostatic": f"{OLD} --use_homeostatic_wd_fb --c_homeostatic=2 --lr_fb=3e-4",
    "homeostatic, own constant": f"{OLD} --use_homeostatic_wd_fb --c_homeostatic=-1 --lr_fb=3e-4",
}


def runs_of(flags, workers, precision="float64"):
    settings = parse([*COMMON.split(), *flags.split(), *["--single_precision"] * (precision == "float32")])
    backend = select_backend("numpy", 0, precision)
    return [build_system(settings.system, backend, workers, Draws(seed, backend)) for seed in SEEDS]


def batches_of(run, step):
    """Another batch for every seed and step: inputs, and labels or targets as the loss wants them."""
    first, outputs = run.learner.net.weights[0], run.learner.net.sizes[-1]
    for seed in SEEDS:
        random = np.random.default_rng((seed, step))
        inputs = random.uniform(-1, 1, (9, first.shape[1])).astype(first.dtype)
        labels, targets = random.integers(0, outputs, 9), random.uniform(0.1, 0.9, (9, outputs)).astype(first.dtype)
        yield inputs, labels if run.learner.correct else targets


def compare(flags, names, threads=1, precision="float64"):
    """Steps of these learners of a run, one after the other, by the stack and by each seed alone."""
    with Workers(threads, least=0) as workers:
        together, alone = (runs_of(flags, workers, precision) for _ in range(2))
        for passed, name in enumerate(names):
            parts, others = ([getattr(run, name) for run in runs] for runs in (together, alone))
            whole = parts[0].together(parts)
            whole.take(parts)
            for step in range(3):
                batches = list(batches_of(alone[0], step))
                whole.step(*stack(batches), (passed, step))
                for learner, batch in zip(others, batches, strict=True):
                    learner.step(*batch, (passed, step))
            whole.give(parts)
            assert_same_states(parts, others)
    for one, other in zip(together, alone, strict=True):
        if names[-1] == "learner":
            assert repr(one.learner.end_epoch()) == repr(other.learner.end_epoch())
    return together


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("threads, precision", [(1, "float64"), (2, "float32")])
def test_steps_of_a_stack_have_the_bits_of_each_seed_alone(case, threads, precision, form):
    runs = compare(CASES[case], ["learner", "learner"], threads, precision)
    first, second = (run.learner.net.parameters for run in runs[:2])
    assert not all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("case", FEEDBACK)
@pytest.mark.parametrize("threads", (1, 2))
def test_feedback_weights_of_a_stack_learn_as_those_of_each_seed_alone(case, threads, form):
    compare(FEEDBACK[case], ["pretraining", "feedback", "learner", "feedback"], threads)


SHARED = {"BP": 1, "DFA": 1, "DFC-SSA": 2, "DFC-SS": 2, "some samples, noisy": 2, "step by step": 2}


@pytest.mark.parametrize("case", SHARED)
def test_small_steps_stay_in_one_thread(case, handed_over):
    """A batch counts one pass of the network, or two where there is a controller; the parts with noise are the same."""
    operations = 2 * 9 * (6 * 7 + 7 * 5 + 5 * 3)
    for least, shared in ((SHARED[case] * operations, True), (SHARED[case] * operations + 1, False)):
        with Workers(2, least=least) as workers:
            (run, *_) = runs_of(CASES[case], workers)
            run.learner.part = 4
            handed_over.clear()
            run.learner.step(*next(batches_of(run, 0)), (0, 0))
        assert bool(handed_over) == shared


@pytest.mark.parametrize("rule", FEEDBACK)
def test_small_steps_of_the_feedback_weights_stay_in_one_thread(rule, handed_over):
    for least, shared in ((0, True), (10**6, False)):
        with Workers(2, least=least) as workers:
            (run, *_) = runs_of(FEEDBACK[rule], workers)
            run.feedback.part = 4
            handed_over.clear()
            run.feedback.step(*next(batches_of(run, 0)), (0, 0))
        assert bool(handed_over) == shared


@pytest.mark.parametrize("case, pieces", (("labels, BP", 1), ("labels, DFC-SSA", 2), ("labels, Strong-DFC", 2)))
def test_only_rules_with_a_controller_share_the_published_networks(case, pieces):
    """128 images, 784-256-256-256-10: for single passes, exchanging the weights takes longer than a thread saves."""
    with Workers(2) as workers:
        (run, *_) = runs_of(f"{CASES[case]} --size_hidden=[256,256,256]", workers)
        assert run.learner.pieces(128) == pieces


@pytest.fixture
def apart(monkeypatch):
    """Every network counts as so large that the seeds of a stack are computed one after the other."""
    monkeypatch.setattr(network, "LARGE", 1 << 30)


@pytest.mark.parametrize("case", CASES)
def test_a_stack_of_large_networks_has_the_bits_of_each_seed_alone(case, apart):
    compare(CASES[case], ["learner", "learner"], threads=2)


@pytest.mark.parametrize("case", FEEDBACK)
def test_feedback_weights_of_large_networks_learn_as_those_of_each_seed_alone(case, apart):
    compare(FEEDBACK[case], ["pretraining", "feedback"], threads=2)


def test_only_seeds_of_large_networks_are_computed_one_after_the_other():
    """And only on a CPU: a GPU takes blocks of any size at once. The bound is on one seed's state, not
    on the number of seeds."""
    wide, narrow = (
        [run.learner.net for run in runs_of(f"--size_hidden={size}", Workers())] for size in ("256,256", "10,10")
    )
    assert wide[0].together(wide).apart(128) == [(0,), (1,), (2,)]
    assert (
        wide[0].apart(128) == narrow[0].together(narrow).apart(128) == narrow[0].together(100 * narrow).apart(128) == []
    )
    for net in wide:
        net.block = block_size(None)
    assert wide[0].together(wide).apart(128) == []


@pytest.mark.parametrize("case", ("some samples, noisy", "labels, Strong-DFC", "BP"))
def test_watchers_see_of_large_networks_what_each_seed_reports_alone(case, apart):
    runs = runs_of(CASES[case], Workers())
    parts, batches = [run.learner for run in runs], list(batches_of(runs[0], 0))
    report = parts[0].together(parts).compute(*stack(batches), (1, 2))
    for seed, (learner, batch) in enumerate(zip(parts, batches, strict=True)):
        (found,), (expected,) = report.of((seed,)).results, learner.compute(*batch, (1, 2)).results
        assert (found.steady is None) == (case == "BP")
        for one, other in zip(_arrays(found), _arrays(expected), strict=True):
            assert equal(one, other)


def _arrays(result):
    """All arrays of a RuleResult, in order."""
    steady = (
        [] if result.steady is None else [result.steady.u, *result.steady.delta_v, *result.steady.v, *result.steady.r]
    )
    kinds = [] if result.counts is None else [result.counts, result.converged, result.diverged]
    return [*result.gradients, *steady, *kinds, *(result.feedback or [])]


@pytest.mark.parametrize("case", ("some samples", "few samples"))
def test_the_cases_are_what_they_are_called(case):
    """Seeds of one stack differ in how many samples converge, so that each is corrected in its own way."""
    runs = runs_of(CASES[case], Workers())
    pairs = zip(runs, batches_of(runs[0], 0), strict=True)
    found = [run.learner.compute(*batch, (0, 0)).results[0].counts[0] for run, batch in pairs]
    assert min(found) < 9 and (len(set(map(int, found))) > 1 or case == "few samples")


def test_every_seed_has_its_own_first_output_and_parts():
    runs = runs_of(CASES["BP"], Workers())
    nets = [run.learner.net for run in runs]
    whole, batches = nets[0].together(nets), list(batches_of(runs[0], 0))
    activities = whole.forward(stack(batches)[0])
    assert activities.batch_size == 9 and whole.sizes == nets[0].sizes and whole.seeds == (len(SEEDS),)
    for seed, (net, batch) in enumerate(zip(nets, batches, strict=True)):
        one, alone = activities.of((seed,)), net.forward(batch[0])
        assert equal(one.first_output, alone.first_output) and equal(one.part(slice(2, 5)).r[-1], alone.r[-1][2:5])
