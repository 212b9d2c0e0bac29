"""From settings to the parts of a run: network, learners, and the plan that the loop follows (dfc.md A, D.1, E, F, I, J)."""

from dataclasses import dataclass
from itertools import pairwise

from core.backend import to_host
from core.optimisers import SGD, Adam, RMSprop
from core.training import Plan
from dfc.activations import ACTIVATIONS
from dfc.controller import Controller
from dfc.feedback_learning import Q_RULES, FeedbackSettings, squared_norm
from dfc.learners import PART, SMALL_PART, FeedbackLearner, ForwardLearner
from dfc.losses import CROSS_ENTROPY, SQUARED_ERROR
from dfc.measures.watchers import Watchers, build_watchers
from dfc.network import FeedbackNetwork
from dfc.stacked import is_small
from dfc.stopping import stop_condition
from utils import count_correct


def build_network(settings, backend, draws):
    """The network with its initial weights (dfc.md A.3, A.4, F.2): W_l of every layer first, then Q_l."""
    layers = list(enumerate(pairwise(settings.sizes)))
    weights = [backend.floats(draws.weights(settings.initialization, l, n, m)) for l, (m, n) in layers]
    biases = [] if settings.no_bias else [backend.xp.zeros(n, dtype=backend.dtype) for n in settings.sizes[1:]]
    net = FeedbackNetwork(
        weights,
        biases,
        [],
        [ACTIVATIONS[name] for name in settings.activations],
        CROSS_ENTROPY if settings.task == "classification" else SQUARED_ERROR,
        identity=settings.freeze_fb_weights or settings.freeze_fb_weights_output,
        block=backend.block,
    )
    if settings.rule.feedback != "none":
        net.feedback = initial_feedback(net, settings, backend, draws)
    return net


def initial_feedback(net, settings, backend, draws, epoch=0):
    """Q_l of all layers, the identity for the output layer; or of the hidden layers alone, drawn as their W are."""
    hidden, outputs = net.sizes[:-1], net.sizes[-1]
    all_layers = settings.rule.feedback == "all"
    if settings.initialization_K == "weight_product":
        feedback = _weight_products(net)
        if settings.noise_K > 0.0 and all_layers:
            for l, q in enumerate(feedback):
                q += settings.noise_K * backend.floats(draws.feedback_noise(l, q.shape, epoch))
    else:
        kind = settings.initialization_K if all_layers else settings.initialization
        feedback = [backend.floats(draws.feedback(kind, l, n, outputs, epoch)) for l, n in enumerate(hidden)]
    return [*feedback, backend.xp.eye(outputs, dtype=backend.dtype)] if all_layers else feedback


def _weight_products(net):
    """Q_l = W_{l+1}^T … W_{L-1}^T of the hidden layers."""
    products = [net.weights[-1].swapaxes(-1, -2)]
    for w in net.weights[-2:0:-1]:
        products.append(w.swapaxes(-1, -2) @ products[-1])
    return [product.copy() for product in products[::-1]] if len(net.weights) > 1 else []


def feedback_settings(settings):
    """What the feedback rules need (dfc.md B.2): the target is the output itself, the noise always on, control never proactive."""
    controller = Controller(
        alpha=settings.alpha_fb,
        dt=settings.dt_di_fb,
        steps=settings.steps_fb,
        k_p=settings.k_p_fb,
        tau_v=settings.time_constant_ratio_fb,
        tau_a=settings.apical_time_constant_fb,
        inst_transmission=settings.inst_transmission_fb,
        inst_system_dynamics=settings.inst_system_dynamics,
        sigma=settings.sigma_fb,
        sigma_output=settings.sigma_output_fb,
    )
    return FeedbackSettings(controller, settings.sigma_fb, settings.alpha_di)


def _forward_optimiser(settings, net, owned):
    """The optimiser of the owned forward parameters; rates and epsilons given per layer hold for W_l and b_l together."""
    parameters = [net.parameters[index] for index in owned]
    per_layer = 2 if net.biases else 1

    def spread(value):
        return [value[index // per_layer] for index in owned] if isinstance(value, tuple) else value

    shared = {"learning_rate": spread(settings.lr), "weight_decay": settings.forward_wd}
    if settings.optimizer == "Adam":
        moments = {"beta1": settings.beta1, "beta2": settings.beta2, "epsilon": spread(settings.epsilon)}
        return Adam(parameters, **shared, **moments, bias_correction=True)
    return {"SGD": SGD, "RMSprop": RMSprop}[settings.optimizer](parameters, momentum=settings.momentum, **shared)


def _feedback_optimiser(settings, net, owned, learning_rate):
    """An optimiser of the owned feedback weights; of the published ones RMSprop alone takes the momentum."""
    parameters = [net.feedback[index] for index in owned]
    shared = {"learning_rate": learning_rate, "weight_decay": settings.feedback_wd}
    if settings.optimizer_fb == "Adam":
        moments = {"beta1": settings.beta1_fb, "beta2": settings.beta2_fb, "epsilon": settings.epsilon_fb}
        return Adam(parameters, **shared, **moments, bias_correction=True)
    if settings.optimizer_fb == "RMSprop":
        return RMSprop(parameters, momentum=settings.momentum, **shared)
    return SGD(parameters, **shared)


@dataclass
class Run:
    """The parts of a run: the learner of W, those of Q (None where Q is frozen), the Plan for the loop, and who measures."""

    learner: ForwardLearner
    feedback: FeedbackLearner | None
    pretraining: FeedbackLearner | None
    plan: Plan
    watchers: Watchers


def build_run(settings, backend, workers, draws, part="by size"):
    """Network, learners and plan.

    settings  dfc.settings.Settings
    backend   core.backend.Backend
    workers   core.workers.Workers
    draws     dfc.draws.Draws
    part      rows of a batch that share one source of noise; None: all; "by size": as many as suit the network
    Returns   Run
    """
    net = build_network(settings, backend, draws)
    if part == "by size":
        part = SMALL_PART if is_small(net) else PART
    shared = {"workers": workers, "noise": draws.noise, "part": part}
    watchers = build_watchers(settings, net, settings.rule_options, draws.noise)
    learner = _forward_learner(settings, net, shared | {"watchers": watchers.forward})
    feedback = pretraining = None
    if settings.rule.learns_feedback and not settings.freeze_fb_weights:
        own = {"name": "feedback", "watchers": watchers.feedback}
        feedback = _feedback_learner(settings, net, settings.lr_fb, shared | own)
        own = {"name": "pretraining", "watchers": watchers.pretraining}
        pretraining = _feedback_learner(settings, net, settings.lr_fb_init, shared | own)
    plan = Plan(
        epoch=[feedback, learner, *[feedback] * settings.extra_fb_epochs] if feedback else [learner],
        prelude=[pretraining] * settings.epochs_fb if feedback else [],
        order=draws.order,
        measure_start=False,
        begin_epoch=_redraw(net, settings, backend, draws) if settings.reset_K and net.feedback else None,
        stop=stop_condition(settings, net),
    )
    return Run(learner, feedback, pretraining, plan, watchers)


def _forward_learner(settings, net, shared):
    count, per_layer = len(net.parameters), 2 if net.biases else 1
    owned = range(count)
    if settings.only_train_first_layer:
        owned = range(per_layer)
    elif settings.shallow_training:
        owned = range(count - per_layer, count)
    return ForwardLearner(
        net,
        settings.rule,
        settings.rule_options,
        _forward_optimiser(settings, net, owned),
        owned=owned,
        clip=settings.clip_grad_norm,
        fixed=settings.fix_grad_norm,
        frozen=settings.freeze_forward_weights,
        correct=count_correct if settings.task == "classification" else None,
        name="forward",
        **shared,
    )


def _feedback_learner(settings, net, learning_rate, shared):
    owned = range(len(net.feedback) - settings.freeze_fb_weights_output)
    homeostatic = None
    if settings.homeostatic is not None:
        constant = settings.c_homeostatic if settings.c_homeostatic > 0.0 else float(to_host(squared_norm(net.feedback)))
        homeostatic = (settings.homeostatic, constant)
    return FeedbackLearner(
        net,
        Q_RULES[settings.fb_learning_rule],
        feedback_settings(settings),
        _feedback_optimiser(settings, net, owned, learning_rate),
        owned=owned,
        clip=settings.clip_grad_norm,
        homeostatic=homeostatic,
        **shared,
    )


def _redraw(net, settings, backend, draws):
    """A function of the epoch that puts new initial feedback weights in the place of the old ones (dfc.md D.6)."""

    def redraw(epoch):
        if epoch:
            for q, new in zip(net.feedback, initial_feedback(net, settings, backend, draws, epoch), strict=True):
                q[...] = new

    return redraw
