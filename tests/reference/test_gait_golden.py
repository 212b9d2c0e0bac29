"""Faithfulness: every quantity recorded from the published program (tests/reference/gait, described in its README)."""

import json
from pathlib import Path

import numpy as np
import pytest

from core.backend import Workers
from core.optimisers import Adam
from gait.gradients import OrthogonalRegulariser
from gait.learner import Learner
from inv_layer import InvLayer
from inv_net import TowerInvNet
from rules import RULES
from rules.target_prop import targets
from utils import LEAKY_RELU, LINEAR

FILES = sorted((Path(__file__).parent / "gait").glob("*.npz"))
FORMS = {"BP": [{}], "TP": [{}], "GAIT": [{"target_form": "difference"}, {"target_form": "absolute"}]}
CASES = [(file, form) for file in FILES for form in FORMS[file.stem.split("_")[2].upper()]]
IDS = [f"{file.stem}{'-' + form['target_form'] if form else ''}" for file, form in CASES]

# Relative to the largest entry, by the number of layers below the output: the published program's own rounding
# (it multiplies by gamma^-1 per layer what it lost to cancellation).
GAIT_TOLERANCE = (1e-12, 1e-11, 1e-8, 1e-5)
EXACT = 1e-12


def read(file):
    with np.load(file) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return json.loads(str(arrays.pop("meta"))), arrays


def build(meta, arrays, gram_solve=True):
    depth = sum(name.startswith("weights") for name in arrays)
    weights = [arrays[f"weights{l}"].copy() for l in range(depth)]
    biases = [arrays[f"biases{l}"].copy() for l in range(depth)]
    return TowerInvNet(weights, biases, LINEAR if meta["linear"] else LEAKY_RELU, meta["classes"], gram_solve)


def assert_close(found, expected, tolerance):
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * max(np.abs(expected).max(), 1e-300)


def test_all_recordings_are_here():
    assert len(FILES) == 48


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_forward_pass_and_target(file):
    meta, arrays = read(file)
    net = build(meta, arrays)
    trace = net.forward(arrays["input"])
    for l, h in enumerate(trace):
        assert_close(h, arrays[f"forward{l}"], EXACT)
    target = trace[-1].copy()
    target[:, : meta["classes"]] = arrays["onehot"]
    assert_close(target, arrays["target"], EXACT)
    assert_close(net.forward(arrays["input"], auxiliary=False)[-1], trace[-1][:, : meta["classes"]], EXACT)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_inverse_targets(file):
    meta, arrays = read(file)
    net = build(meta, arrays)
    trace = net.forward(arrays["input"], auxiliary=False)
    for l, target in enumerate(targets(net, trace, arrays["onehot"]), start=1):
        assert_close(target, arrays[f"inverse{l}"], 1e-10)
    # the recordings go down to the input, which no rule needs: the same inverse once more
    first = net.layers[0].inverse(arrays["inverse1"])
    assert_close(first, arrays["inverse0"][:, : first.shape[-1]], 1e-10)


def tolerance(algorithm, layers_below_output):
    return GAIT_TOLERANCE[layers_below_output] if algorithm == "GAIT" else 1e-12


@pytest.mark.parametrize("threads", (1, 2))
@pytest.mark.parametrize("file, form", CASES, ids=IDS)
def test_weight_and_bias_updates(file, form, threads):
    meta, arrays = read(file)
    net = build(meta, arrays)
    rule = RULES[meta["algorithm"]]
    options = rule.Options(gamma=meta["gamma"], **form) if form else rule.Options()
    with Workers(threads, least=0) as workers:
        learner = Learner(net, rule, options, OrthogonalRegulariser(meta["orthogonal_reg"]), None, workers)
        found = learner.compute_gradients(arrays["input"], arrays["onehot"])
    depth = len(net.layers)
    for l in range(depth):
        limit = tolerance(meta["algorithm"], depth - 1 - l)
        assert_close(-found[2 * l], arrays[f"weight_update{l}"], limit)
        assert_close(-found[2 * l + 1], arrays[f"bias_update{l}"], limit)


def noise_bound(meta, arrays):
    """How far rounding alone may move a trained weight whose gradient is rounding.

    In the towers recorded with orthogonal weights and the regulariser, auxiliary columns have no gradient but
    lambda R(W), which is zero up to the rounding of G = W W^T: at most size eps an entry, 4 lambda size eps in
    R.  Adam divides it by as little as 1e-8, so that each step may differ by lr 4 lambda size eps / 1e-8
    between two ways of summing G.
    """
    if not meta["orthogonal_reg"]:
        return 0.0
    rounding = 4.0 * meta["orthogonal_reg"] * len(arrays["weights0"]) * np.finfo(float).eps
    return meta["steps"] * meta["learning_rate"] * rounding / 1e-8


def train(meta, arrays, form, gram_solve):
    net = build(meta, arrays, gram_solve)
    rule = RULES[meta["algorithm"]]
    options = rule.Options(gamma=meta["gamma"], **form) if form else rule.Options()
    optimiser = Adam(net.parameters, meta["learning_rate"])
    learner = Learner(net, rule, options, OrthogonalRegulariser(meta["orthogonal_reg"]), optimiser, Workers())
    for _ in range(meta["steps"]):
        learner.step(arrays["input"], arrays["onehot"])
    return net


def assert_trained(net, arrays, limit):
    for l, layer in enumerate(net.layers):
        assert np.abs(layer.weights - arrays[f"trained_weights{l}"]).max() <= limit
        assert np.abs(layer.biases - arrays[f"trained_biases{l}"]).max() <= limit


@pytest.mark.parametrize("gram_solve", (True, False), ids=("gram", "direct"))
@pytest.mark.parametrize("file, form", CASES, ids=IDS)
def test_training_steps(file, form, gram_solve, monkeypatch):
    """With G summed in the order of the published program (a plain product), all agree to the last digits."""
    monkeypatch.setattr(InvLayer, "gram", gram_by_plain_product)
    meta, arrays = read(file)
    net = train(meta, arrays, form, gram_solve)
    assert_trained(net, arrays, 1e-6 if meta["algorithm"] == "GAIT" else EXACT)


@pytest.mark.parametrize("file, form", CASES, ids=IDS)
def test_training_steps_with_the_symmetric_product(file, form):
    """W W^T computed as the symmetric product that it is differs in its last digits: what follows
    stays within their bound."""
    meta, arrays = read(file)
    orthogonal_tower = file.stem.startswith("tower") and file.stem.endswith("orthogonal")
    limit = 1e-6 if meta["algorithm"] == "GAIT" else EXACT + (noise_bound(meta, arrays) if orthogonal_tower else 0.0)
    assert_trained(train(meta, arrays, form, True), arrays, limit)


def gram_by_plain_product(layer):
    if layer._gram_version != layer.version:
        # Numpy takes a symmetric product only where both are one array.
        gram = layer.weights @ layer.weights.T.copy()
        diagonal = np.diag(gram).copy()
        layer._gram, layer._gram_version = (gram - np.diag(diagonal), diagonal), layer.version
    return layer._gram
