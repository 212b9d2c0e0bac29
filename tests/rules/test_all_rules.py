"""What every rule promises, old or new."""

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rules
from inv_net import SquareInvNet
from rules import FEEDBACK_RULES, RULES
from tests.nets_for_tests import SQUARE, TOWER, difference, make_batch, make_learner, make_net

FOLDER = Path(rules.__file__).parent
CASES = [(name, rule.Options()) for name, rule in RULES.items()]
CASES.append(("GAIT", RULES["GAIT"].Options(target_form="absolute")))
EVERY_RULE = pytest.mark.parametrize("name, options", CASES, ids=[f"{n}-{getattr(o, 'target_form', '')}" for n, o in CASES])


def layer_errors(net, name, options, inputs, target):
    return RULES[name].layer_errors(net, net.forward(inputs, auxiliary=False), target, options)


def test_every_file_is_registered():
    """A rule that stands in no table is reached by no command line and no test."""
    files = {path.stem for path in FOLDER.glob("[!_]*.py")}
    every = (*RULES.values(), *FEEDBACK_RULES.values())
    registered = {(rule.layer_errors or rule.teach).__module__.split(".")[-1] for rule in every}
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
    tolerance = 1e-3 if getattr(options, "target_form", "") == "absolute" else 1e-11  # rounding is amplified there
    for l, expected in enumerate(whole):
        assert difference(np.concatenate([part[l] for part in parts]), expected) < tolerance


@EVERY_RULE
def test_a_square_network_is_a_tower_of_equal_widths(name, options):
    """The square network's own class, its auxiliary outputs and the tower's cut give one result."""
    tower = make_net()
    square = SquareInvNet(*zip(*((l.weights, l.biases) for l in tower.layers), strict=True), tower.transfer, tower.classes)
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


MADE_UP = '''"""Sign-symmetric feedback: backpropagation through the signs of the weights."""

from core.backend import array_module
from rules._rule import NoOptions, Rule


def layer_errors(net, trace, target, options):
    """delta_L = f'_L (h_L - t_L),  delta_{l-1} = f'_{l-1} (delta_l sign(W_l)^T) / sqrt(n_l)"""
    errors, difference = [], trace[-1][..., : net.classes] - target
    for layer, h, active in zip(net.layers[::-1], trace[::-1], net.active[::-1], strict=False):
        delta = net.transfer.slope(h[..., :active]) * difference
        errors.append(delta)
        signs = array_module(delta).sign(layer.weights[..., : delta.shape[-1]])
        difference = delta @ signs.swapaxes(-1, -2) / layer.size**0.5
    return errors[::-1]


RULE = Rule("SIGN", layer_errors, NoOptions)
'''


def test_a_new_rule_is_one_file_of_under_20_lines(tmp_path):
    """README's made-up rule, put into a copy of the program with its line in RULES, trains from the command line."""
    root = FOLDER.parent
    assert MADE_UP in (root / "README.md").read_text()
    assert len(MADE_UP.rstrip().splitlines()) < 20
    for name in ("core", "rules", "gait", "dfc"):
        shutil.copytree(root / name, tmp_path / name)
    (tmp_path / "datasets").mkdir()
    for file in (*root.glob("*.py"), *root.glob("datasets/*.py")):
        shutil.copy(file, tmp_path / file.relative_to(root))
    (tmp_path / "rules" / "sign_symmetry.py").write_text(MADE_UP)
    registry = tmp_path / "rules" / "__init__.py"
    lines = registry.read_text().replace("import backprop", "import sign_symmetry, backprop")
    lines = lines.replace("(backprop, gait", "(backprop, sign_symmetry, gait")
    registry.write_text(lines)
    command = [sys.executable, "run.py", "--algorithm=SIGN", "--nb_epochs=1", "--train_samples=1200", "--quiet"]
    done = subprocess.run([*command, f"--data_dir={root / 'datasets'}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (accuracy,) = tmp_path.glob("results/MNIST_SIGN_*/test_acc.txt")
    before, after = np.loadtxt(accuracy)
    assert after > before + 0.2


def test_a_made_up_rule_is_refused_without_its_line(capsys):
    import run

    with pytest.raises(SystemExit) as stopped:
        run.main(["--algorithm=SIGN"])
    assert stopped.value.code == 2
    assert "--algorithm: 'SIGN' is not one of" in capsys.readouterr().err
