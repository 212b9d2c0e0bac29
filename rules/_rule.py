"""Says what a learning rule is: pure functions, their options, and traits that tell what kind of rule it is."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class NoOptions:
    """Stands for the options of a rule that has none."""


@dataclass(frozen=True)
class Rule:
    """Describes one learning rule.

    Programs read its traits, and never its name, so that a new rule needs no change elsewhere.

    name             as on the command line
    layer_errors     (net, trace, target, options) -> [delta_0 … delta_{L-1}]: the errors (n, k_l) on the
                     pre-activations of the first k_l units of each layer; those of the other units are zero. They are
                     not divided by n. It is a pure function; the gradients follow from the errors and the trace in the
                     same way for every such rule
    Options          frozen dataclass of the rule's options. A field made by core.options.option is also an option of
                     the command line; a field with the name of a flag of main.py takes that flag's value
    recordable       whether a GPU may record a step once and repeat it (core/replay.py); not if a number that the host
                     computes changes from step to step, or is copied to the device, nor if a device array that the
                     rule keeps is replaced
    inverts          whether it needs the inverse of the weights, so that options of the solver apply (run.py)

    The other fields are for networks with feedback weights (main.py).

    gradients        (net, activities, target, options, out, noise) -> dfc.gradients.RuleResult, instead of
                     layer_errors, for a rule that has its own presynaptic rates or sums over time; the gradients are
                     written to `out`
    feedback         layers whose feedback weights Q it uses: "none", "hidden" (drawn as W is drawn) or "all"
    learns_feedback  whether Q learns, in passes of its own (dfc/feedback_learning.py); else it stays as drawn
    joint            whether the gradients of Q come with those of W, from one simulation, instead of passes of their
                     own
    controlled       whether a controller nudges the network, so that each RuleResult has a steady state
    simulates        whether the controller is simulated in time, so that samples may fail to converge
    averages         whether all time points of the simulation contribute to the gradients, not only the last one
    reference        whether other rules are compared with it: its own angles are not measured, and it stops at other
                     bounds
    outputs          names of the output activations that it can work with; empty: all
    published        {flag: value} of main.py that stand for the rule in the published program
    from_flags       {flag: value} -> Options, if these are not the values of the flags of the same names; for a rule
                     that simulates or is joint there are further entries (dfc.settings.parts.rule_options)
    noisy            options -> whether it draws noise
    whole_batch      options -> whether the rule must see a whole batch, and not parts that threads compute at the same
                     time
    clips            whether the rule obeys `--clip_grad_norm`: "asked", "never", or "always", which clips to norm 1
    """

    name: str
    layer_errors: Callable | None = None
    Options: type = NoOptions
    recordable: bool = True
    inverts: bool = False
    gradients: Callable | None = None
    feedback: str = "none"
    learns_feedback: bool = False
    joint: bool = False
    controlled: bool = False
    simulates: bool = False
    averages: bool = False
    reference: bool = False
    outputs: tuple = ()
    published: dict = field(default_factory=dict)
    from_flags: Callable | None = None
    noisy: Callable = lambda options: False
    whole_batch: Callable = lambda options: False
    clips: str = "asked"
