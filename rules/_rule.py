"""What a learning rule is: a name, a pure function, and its options."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """One learning rule.

    name          as on the command line
    layer_errors  (net, trace, target, options) -> [delta_0 … delta_{L-1}]: the errors (n, k_l) on the pre-activations of the
                  first k_l units of each layer; those of the others are zero.  No division by n.  A pure function; the gradients
                  follow from the errors and the trace in the same way for every such rule (core/gradients.py)
    Options       frozen dataclass of the rule's own options (core/options.py)
    inverts       whether it needs the inverse of the weights, so that options of the solver apply
    teach         (net, activities, target, options, gradients, noise) -> core.gradients.Teaching, in place of layer_errors for a
                  rule that brings its own presynaptic rates or sums over time; for networks with feedback weights (main.py)
    noisy         options -> whether it draws noise
    whole_batch   options -> whether the rule must see a batch as one, not in parts that are worked on side by side
    clips         what `--clip_grad_norm` means to it in main.py: "asked", "never", or "always", to norm 1
    """

    name: str
    layer_errors: Callable | None
    Options: type
    inverts: bool = False
    teach: Callable | None = None
    noisy: Callable = lambda options: False
    whole_batch: Callable = lambda options: False
    clips: str = "asked"


@dataclass(frozen=True)
class NoOptions:
    """The options of a rule that has none."""
