"""Builds the parts of a run from its settings: network, learners, and the plan of the loop."""

from dataclasses import dataclass, replace
from itertools import pairwise

from core.backend import to_host
from core.clipping import clip_each, clip_together
from core.optimisers import OPTIMISERS
from core.training import EpochPlan
from dfc.feedback_learning import Q_RULES, squared_norm
from dfc.functions import ACTIVATIONS, CROSS_ENTROPY, SQUARED_ERROR, soft_cross_entropy
from dfc.joint import JointLearner
from dfc.learners import PART, SMALL_PART, FeedbackLearner, ForwardLearner
from dfc.network import FeedbackNetwork, load_weights
from utils import count_correct


def bytes_of_a_run(settings, batch_size, backend):
    """Returns an estimate of the bytes that one of several networks trained together takes.

    For each weight there are its value, two moments, gradients and buffers, all of it twice; for each unit and
    each sample of a batch there are the rates and voltages of some time points, or of all time points on a GPU if they
    contribute to gradients and samples may be left out at the end. A GPU needs those of a batch twice, because a
    recorded step keeps its memory (core/replay.py) while a short batch is made as it is written.

    settings  dfc.settings.records.SystemSettings
    """
    sizes = settings.network.sizes
    weights = sum(n * m for m, n in pairwise(sizes))
    weights += sizes[-1] * sum(sizes[1:]) if settings.rule.feedback != "none" else 0
    units, points = batch_size * sum(sizes), 60 if settings.rule.controlled else 6
    on_gpu = backend.device is not None
    if on_gpu and settings.rule.averages and not settings.rule_options.include_non_converged_samples:
        points += 2 * settings.rule_options.controller.steps
    points *= 1 + on_gpu
    return (12 * weights + points * units) * backend.dtype.itemsize


def build_network(settings, backend, draws):
    """Returns the network of NetworkSettings with its initial weights: W_l of every layer first, then Q_l.

    The initialisations are those of docs/published/dfc.md A.3, A.4 and F.2.
    """
    layers = list(enumerate(pairwise(settings.sizes)))
    weights = [backend.floats(draws.weights(settings.initial_w, l, n, m)) for l, (m, n) in layers]
    biases = [backend.xp.zeros(n, dtype=backend.dtype) for n in settings.sizes[1:]] if settings.biases else []
    net = FeedbackNetwork(
        weights,
        biases,
        [],
        [ACTIVATIONS[name] for name in settings.activations],
        _loss(settings),
        identity=settings.identity,
        block=backend.block,
        kinks=settings.kinks,
    )
    if settings.feedback != "none":
        net.feedback = initial_feedback(net, settings, backend, draws)
    return net


def _loss(settings):
    if not settings.classification:
        return SQUARED_ERROR
    return CROSS_ENTROPY if settings.worth == 1.0 else soft_cross_entropy(settings.worth)


def initial_feedback(net, settings, backend, draws, epoch=0):
    """Returns the initial Q_l (n_l, n_L) of all layers, or of the hidden layers alone.

    In the first case the output's Q is the identity; in the second the Q are drawn as their W are.
    """
    hidden, outputs = net.sizes[:-1], net.sizes[-1]
    all_layers = settings.feedback == "all"
    if settings.initial_q == "weight_product":
        feedback = _weight_products(net)
        if settings.noise_q > 0.0 and all_layers:
            for l, q in enumerate(feedback):
                q += settings.noise_q * backend.floats(draws.feedback_noise(l, q.shape, epoch))
    else:
        kind = settings.initial_q if all_layers else settings.initial_w
        feedback = [backend.floats(draws.feedback(kind, l, n, outputs, epoch)) for l, n in enumerate(hidden)]
    return [*feedback, backend.xp.eye(outputs, dtype=backend.dtype)] if all_layers else feedback


def _weight_products(net):
    """Returns Q_l = W_{l+1}^T … W_{L-1}^T (n_l, n_L) of the hidden layers."""
    products = [net.weights[-1].swapaxes(-1, -2)]
    for w in net.weights[-2:0:-1]:
        products.append(w.swapaxes(-1, -2) @ products[-1])
    return [product.copy() for product in products[::-1]] if len(net.weights) > 1 else []


def _optimiser(arrays, layers, about):
    """Returns the optimiser of some arrays that the OptimiserSettings `about` describe.

    layers  the layer of each array, for settings that are numbers per layer
    """
    make, takes, further = OPTIMISERS[about.kind]

    def spread(value):
        return [value[l] for l in layers] if isinstance(value, tuple) else value

    told = {name: spread(getattr(about, name)) for name in takes}
    return make(arrays, spread(about.learning_rate), weight_decay=about.weight_decay, **told, **further)


@dataclass
class System:
    """Holds the learners of a run and the plan by which the loop trains them.

    learner      learns W
    feedback     learns Q during the epochs; None where Q does not learn in passes of its own
    pretraining  learns Q before the first epoch; None where it does not
    plan         core.training.EpochPlan
    """

    learner: ForwardLearner
    feedback: FeedbackLearner | None
    pretraining: FeedbackLearner | None
    plan: EpochPlan


def build_system(settings, backend, workers, draws, part="by size", start_from=None):
    """Returns the System of a run: its network, learners and plan.

    settings    dfc.settings.records.SystemSettings
    backend     core.backend.Backend
    workers     core.backend.Workers
    draws       dfc.draws.Draws
    part        rows of a batch that share one source of noise; None: all; "by size": as many as suit the network
    start_from  folder of a run whose arrays replace the initial ones; None: none do
    Raises      FileError, see `dfc.network.load_weights`
    """
    net, phase = build_network(settings.network, backend, draws), settings.feedback
    if start_from is not None:
        # The learners follow, because one of them measures the initial Q.
        load_weights(net, start_from)
    if part == "by size":
        # A GPU computes a batch at once; on a CPU noise is drawn in parts, which are divided among threads.
        part = None if draws.on_device else SMALL_PART if net.small else PART
    shared = {"workers": workers, "noise": draws.noise, "part": part}
    feedback = pretraining = None
    if phase:
        feedback = _feedback_learner(net, phase, phase.optimiser, phase.rule_settings, shared | {"name": "feedback"})
        own = shared | {"name": "pretraining"}
        pretraining = _feedback_learner(net, phase, phase.first_optimiser, phase.first_settings, own)
    learner = _forward_learner(net, settings, feedback, shared)
    further = [feedback] * phase.extra if phase else []
    plan = EpochPlan(
        epoch=[feedback, learner, *further] if phase and not settings.rule.joint else [learner, *further],
        prelude=[pretraining] * phase.before if phase else [],
        order=draws.order,
        measure_start=False,
        begin_epoch=_redraw(net, settings.network, backend, draws) if settings.reset_K and net.feedback else None,
    )
    return System(learner, feedback, pretraining, plan)


def _forward_learner(net, settings, feedback, shared):
    about, layers = settings.forward, net.layers_of_parameters
    owned = [index for index, l in enumerate(layers) if l in about.layers]

    def clip_layers(gradients, bound, seeds):
        for l in range(len(net.weights)):
            clip_together(net.of_layer(gradients, l), bound, seeds)

    make = ForwardLearner
    if feedback and settings.rule.joint:
        make, shared = JointLearner, shared | {"feedback": feedback}
    return make(
        net,
        replace(settings.rule, clips="asked") if about.clip_as_asked else settings.rule,
        settings.rule_options,
        _optimiser([net.parameters[index] for index in owned], [layers[index] for index in owned], about.optimiser),
        owned=owned,
        clip=about.clip,
        clip_by=clip_layers if about.clip_layers else clip_each,
        fixed=about.fixed,
        frozen=about.frozen,
        by_bp=about.by_bp,
        correct=count_correct if settings.network.classification else None,
        name="forward",
        **shared,
    )


def _feedback_learner(net, phase, optimiser, rule_settings, shared):
    owned = range(len(net.feedback) - phase.output_frozen)
    homeostatic = None
    if phase.homeostatic is not None:
        constant = phase.constant if phase.constant > 0.0 else float(to_host(squared_norm(net.feedback)))
        homeostatic = (phase.homeostatic, constant)

    def clip_owned(gradients, bound, seeds):
        clip_each([gradients[index] for index in owned], bound, seeds)

    return FeedbackLearner(
        net,
        Q_RULES[phase.rule],
        rule_settings,
        _optimiser([net.feedback[index] for index in owned], owned, optimiser),
        owned=owned,
        clip=phase.clip,
        clip_by=clip_owned if phase.clip_each else clip_together,
        homeostatic=homeostatic,
        **shared,
    )


def _redraw(net, settings, backend, draws):
    """Returns a function of the epoch that replaces the feedback weights by newly drawn ones, in place.

    It is the option --reset_K (docs/published/dfc.md D.6).
    """

    def redraw(epoch):
        if epoch:
            for q, new in zip(net.feedback, initial_feedback(net, settings, backend, draws, epoch), strict=True):
                q[...] = new

    return redraw
