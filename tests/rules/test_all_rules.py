"""What every rule promises, old or new."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import rules
from inv_net import SquareInvNet
from rules import FEEDBACK_NET_RULES, RULES
from tests.nets_for_tests import SQUARE, TOWER, difference, make_batch, make_learner, make_net

FOLDER = Path(rules.__file__).parent
CASES = [(name, rule.Options()) for name, rule in RULES.items()]
CASES.append(("GAIT", RULES["GAIT"].Options(target_form="absolute")))
EVERY_RULE = pytest.mark.parametrize(
    "name, options", CASES, ids=[f"{n}-{getattr(o, 'target_form', '')}" for n, o in CASES]
)


def layer_errors(net, name, options, inputs, target):
    return RULES[name].layer_errors(net, net.forward(inputs, auxiliary=False), target, options)


def test_every_file_is_registered():
    """A rule that stands in no table is reached by no command line and no test."""
    files = {path.stem for path in FOLDER.glob("[!_]*.py")}
    every = (*RULES.values(), *FEEDBACK_NET_RULES.values())
    registered = {(rule.layer_errors or rule.gradients).__module__.split(".")[-1] for rule in every}
    assert files == registered


@EVERY_RULE
@pytest.mark.parametrize("sizes", (SQUARE, TOWER))
def test_errors_have_the_shape_of_the_active_units(sizes, name, options):
    net = make_net(sizes)
    inputs, target = make_batch(net)
    found = layer_errors(net, name, options, inputs, target)
    assert [delta.shape for delta in found] == [(len(inputs), k) for k in net.active]


@EVERY_RULE
def test_a_rule_is_pure(name, options):
    net = make_net()
    inputs, target = make_batch(net)
    trace = net.forward(inputs)
    before = [array.copy() for array in (*trace, target, *net.parameters)]
    first = RULES[name].layer_errors(net, trace, target, options)
    again = RULES[name].layer_errors(net, trace, target, options)
    for kept, array in zip(before, (*trace, target, *net.parameters), strict=True):
        np.testing.assert_array_equal(kept, array)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.new = 1


@EVERY_RULE
def test_samples_do_not_see_each_other(name, options):
    """Errors are per sample: a batch in two parts gives the errors of the whole, so that workers may share it."""
    net = make_net(init="xavier")
    inputs, target = make_batch(net, samples=7)
    whole = layer_errors(net, name, options, inputs, target)
    parts = [layer_errors(net, name, options, inputs[part], target[part]) for part in (slice(0, 3), slice(3, 7))]
    # Rounding is amplified there.
    tolerance = 1e-3 if getattr(options, "target_form", "") == "absolute" else 1e-11
    for l, expected in enumerate(whole):
        assert difference(np.concatenate([part[l] for part in parts]), expected) < tolerance


@EVERY_RULE
def test_a_square_network_is_a_tower_of_equal_widths(name, options):
    """The square network's own class, its auxiliary outputs and the tower's cut give one result."""
    tower = make_net()
    square = SquareInvNet(
        *zip(*((l.weights, l.biases) for l in tower.layers), strict=True), tower.transfer, tower.classes
    )
    inputs, target = make_batch(tower)
    both = [layer_errors(net, name, options, inputs, target) for net in (square, tower)]
    for one, two in zip(*both, strict=True):
        np.testing.assert_array_equal(one, two)


@EVERY_RULE
@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("strength", (0.0, 0.1))
def test_a_step_keeps_the_float_type(strength, dtype, name, options):
    net = make_net(dtype=dtype)
    learner = make_learner(net, RULES[name], options, strength)
    learner.step(*make_batch(net))
    arrays = [*net.parameters, *learner.gradients]
    arrays += [array for key, array in learner.optimiser.state().items() if key != "steps"]
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}
    assert all(np.isfinite(array).all() for array in arrays)


@EVERY_RULE
def test_the_output_error_shrinks_when_the_rule_is_followed(name, options):
    net = make_net((16,) * 4)
    inputs, target = make_batch(net)
    learner = make_learner(net, RULES[name], options, strength=0.1, learning_rate=1e-3)
    first = np.square(net.forward(inputs)[-1][:, : net.classes] - target).sum()
    for _ in range(60):
        learner.step(inputs, target)
    assert np.square(net.forward(inputs)[-1][:, : net.classes] - target).sum() < 0.5 * first


def test_a_made_up_rule_is_refused_without_its_line(capsys):
    import run

    with pytest.raises(SystemExit) as stopped:
        run.main(["--algorithm=SIGN"])
    assert stopped.value.code == 2
    assert "--algorithm: 'SIGN' is not one of" in capsys.readouterr().err
