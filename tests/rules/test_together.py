"""A stack of seeds is only a way of computing: every seed gets the bits that it gets alone."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from core.backend import Workers
from core.optimisers import SGD, Adam, RMSprop
from inv_layer import solve_gram
from rules import RULES
from tests.nets_for_tests import SQUARE, TOWER, make_batch, make_learner, make_net

SEEDS = (3, 4, 5)


def variants():
    """{name: (rule, options)}: every registered rule, once for each choice of each of its options that are words."""
    found = {}
    for name, rule in RULES.items():
        found[name] = rule, rule.Options()
        for field in dataclasses.fields(rule.Options):
            for choice in field.metadata.get("choices") or ():
                found[f"{name}-{choice}"] = rule, rule.Options(**{field.name: choice})
    return found


VARIANTS = variants()
every_variant = pytest.mark.parametrize("variant", VARIANTS)


def equal(found, expected):
    """Whether two arrays have the same bits, but for the payload of what is not a number."""
    return (
        found.shape == expected.shape
        and found.dtype == expected.dtype
        and np.array_equal(found, expected, equal_nan=True)
    )


def batches_of(nets, samples=6):
    """Another batch for every seed."""
    return [make_batch(net, samples, seed=50 + seed) for seed, net in enumerate(nets)]


def learners_of(variant, sizes, strength, workers, dtype="float64"):
    """Learners of several seeds; initial weights as with a regulariser are not orthogonal."""
    init = "xavier" if strength else "orthogonal"
    nets = [make_net(sizes, init=init, dtype=dtype, seed=seed) for seed in SEEDS]
    return [make_learner(net, *VARIANTS[variant], strength=strength, workers=workers) for net in nets]


def stack(batches):
    return [np.stack(arrays) for arrays in zip(*batches, strict=True)]


def assert_same_states(learners, others):
    for learner, other in zip(learners, others, strict=True):
        state, expected = learner.state(), other.state()
        assert state.keys() == expected.keys()
        for name in state:
            assert equal(np.asarray(state[name]), np.asarray(expected[name])), name


@every_variant
@pytest.mark.parametrize("sizes", (SQUARE, TOWER, (40, 40)))
@pytest.mark.parametrize("strength", (0.0, 0.1))
@pytest.mark.parametrize("threads", (1, 2))
def test_steps_of_a_stack_have_the_bits_of_each_seed_alone(variant, sizes, strength, threads):
    with Workers(threads, least=0) as workers:
        together, alone = (learners_of(variant, sizes, strength, workers) for _ in range(2))
        batches = batches_of([learner.net for learner in alone])
        whole = together[0].together(together)
        whole.take(together)
        for _ in range(4):
            whole.step(*stack(batches))
            for learner, batch in zip(alone, batches, strict=True):
                learner.step(*batch)
        whole.give(together)
    assert_same_states(together, alone)


@every_variant
def test_errors_of_a_stack_have_the_bits_of_each_seed_alone(variant):
    """Per layer, so that no difference is lost in the sum over the batch."""
    rule, options = VARIANTS[variant]
    nets = [make_net(TOWER, init="xavier", seed=seed) for seed in SEEDS]
    batches = batches_of(nets)
    whole, (inputs, target) = nets[0].together(nets), stack(batches)
    found = rule.layer_errors(whole, whole.forward(inputs, auxiliary=False), target, options)
    for seed, (net, batch) in enumerate(zip(nets, batches, strict=True)):
        expected = rule.layer_errors(net, net.forward(batch[0], auxiliary=False), batch[1], options)
        assert all(equal(ours[seed], theirs) for ours, theirs in zip(found, expected, strict=True))


@every_variant
def test_float32_stays_float32(variant):
    together, alone = (learners_of(variant, SQUARE, 0.1, None, "float32") for _ in range(2))
    batches = batches_of([learner.net for learner in alone])
    whole = together[0].together(together)
    whole.step(*stack(batches))
    whole.give(together)
    for learner, batch in zip(alone, batches, strict=True):
        learner.step(*batch)
    assert_same_states(together, alone)


def test_seeds_share_a_batch_without_copies_of_it():
    """run.py reads its images in file order, whatever the seed: the stack sees one array through a broadcast."""
    together, alone = (learners_of("GAIT", SQUARE, 0.1, None) for _ in range(2))
    batch = make_batch(alone[0].net)
    whole = together[0].together(together)
    whole.step(*(np.broadcast_to(array, (len(SEEDS), *array.shape)) for array in batch))
    whole.give(together)
    for learner in alone:
        learner.step(*batch)
    assert_same_states(together, alone)


def test_a_large_layer_is_worked_on_in_the_same_rows():
    """Blocks of few entries: every seed's matrix is cut, and by itself."""
    together, alone = (learners_of("BP", (30, 30), 0.1, None) for _ in range(2))
    together, alone = ([rebuilt(learner, block=200) for learner in group] for group in (together, alone))
    batches = batches_of([learner.net for learner in alone])
    whole = together[0].together(together)
    assert len(whole.blocks(1)) == len(SEEDS) * len(alone[0].blocks(1)) > 2 * len(SEEDS)
    whole.step(*stack(batches))
    whole.give(together)
    for learner, batch in zip(alone, batches, strict=True):
        learner.step(*batch)
    assert_same_states(together, alone)


@pytest.mark.parametrize("strength, operations", ((0.0, 2 * 6 * 3 * 12**2), (0.1, 2 * (6 + 12) * 3 * 12**2)))
@pytest.mark.parametrize("rule", ("BP", "GAIT"))
def test_small_steps_stay_in_one_thread(rule, strength, operations, handed_over):
    """A step counts a pass of the batch and, with the regulariser, one of W itself; six samples, 3 x 12 units."""
    for least, shared in ((operations, True), (operations + 1, False)):
        with Workers(2, least=least) as workers:
            (learner, *_) = learners_of(rule, (12, 12, 12), strength, workers)
            handed_over.clear()
            learner.step(*make_batch(learner.net))
        assert bool(handed_over) == shared


@pytest.mark.parametrize(
    "size, strength, pieces", ((784, 0.0, 2), (784, 0.1, 2), (300, 0.1, 2), (128, 0.1, 1), (300, 0.0, 1))
)
def test_published_layers_are_shared_and_small_images_are_not(size, strength, pieces):
    """Five layers, 60 images: times with one and with two threads are in docs/results.md."""
    with Workers(2) as workers:
        (learner, *_) = learners_of("BP", (9, 9), strength, workers)
        learner.net.layers = 5 * [SimpleNamespace(size=size)]
        assert learner.pieces(60) == pieces


def rebuilt(learner, block):
    return type(learner)(
        learner.net, learner.rule, learner.options, learner.regulariser, learner.optimiser, learner.workers, block
    )


def test_a_seed_that_needs_more_products_leaves_the_others_alone():
    """One seed's Gram matrix is nearly diagonal, another's takes long, the third is solved directly."""
    nets = [make_net((9, 9), init="orthogonal", seed=seed) for seed in SEEDS]
    nets[1].weights[1][...] += 0.02 * np.arange(81.0).reshape(9, 9) / 81.0
    nets[2].weights[1][...] += np.arange(81.0).reshape(9, 9) / 81.0
    rows = [batch[0] for batch in batches_of(nets)]
    whole = nets[0].together(nets)
    for net in (whole, *nets):
        net.layers[1].gram()
    quick = [solve_gram(*net.layers[1].gram(), each, most_products=3) for net, each in zip(nets, rows, strict=True)]
    late = [solve_gram(*net.layers[1].gram(), each) for net, each in zip(nets, rows, strict=True)]
    assert [each is not None for each in quick] == [True, False, False]
    assert [each is not None for each in late] == [True, True, False]
    found = whole.layers[1].solve(np.stack(rows))
    for seed, net in enumerate(nets):
        assert equal(found[seed], net.layers[1].solve(rows[seed]))


@pytest.mark.parametrize("make", (SGD, RMSprop, Adam), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("decay", (0.0, 0.1))
def test_optimisers_move_every_seed_as_alone(make, decay):
    """Arrays of two sizes, the larger of them more than one block."""
    random = np.random.default_rng(1)
    shapes = ((700, 300), (300,))
    start = [[random.standard_normal(shape) for shape in shapes] for _ in SEEDS]
    steps = [[[random.standard_normal(shape) for shape in shapes] for _ in SEEDS] for _ in range(3)]
    alone = [make([p.copy() for p in arrays], 0.01, weight_decay=decay) for arrays in start]
    whole = alone[0].like([np.stack(arrays) for arrays in zip(*start, strict=True)])
    for gradients in steps:
        whole.step([np.stack(arrays) for arrays in zip(*gradients, strict=True)])
        for optimiser, gradient in zip(alone, gradients, strict=True):
            optimiser.step(gradient)
    for seed, optimiser in enumerate(alone):
        assert all(
            equal(ours[seed], theirs) for ours, theirs in zip(whole.parameters, optimiser.parameters, strict=True)
        )
