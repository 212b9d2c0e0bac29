"""What a learning rule is: a name, a pure function, and its options."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """One learning rule.

    name          as on the command line
    layer_errors  (net, trace, target, options) -> [delta_0 … delta_{L-1}]: the errors (n, k_l) on the pre-activations of the
                  first k_l = net.active[l] units of each layer; those of the others are zero.  No division by n.  A pure
                  function; the gradients follow from the errors in the same way for every rule (core/gradients.py)
    Options       frozen dataclass of the rule's own options (core/options.py)
    inverts       whether it needs the inverse of the weights, so that options of the solver apply
    """

    name: str
    layer_errors: Callable
    Options: type
    inverts: bool = False


@dataclass(frozen=True)
class NoOptions:
    """The options of a rule that has none."""
