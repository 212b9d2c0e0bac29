"""What a learning rule is: a name, a pure function, and its options."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """One learning rule.

    name          as on the command line
    layer_errors  (net, trace, target, options) -> [delta_0 … delta_{L-1}], the error on the pre-activation of each layer, (n,
                  k_l), of its first k_l = net.active[l] units; those of the others are zero.  No division by n.  A pure function: the
                  weights' gradients follow from the errors in the same way for every rule (core/gradients.py).
    Options       frozen dataclass of the rule's own options (core/options.py)
    """

    name: str
    layer_errors: Callable
    Options: type


@dataclass(frozen=True)
class NoOptions:
    """The options of a rule that has none."""
