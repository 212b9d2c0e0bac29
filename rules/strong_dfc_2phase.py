"""Strong-DFC (2-phase): Q and W learn in passes of their own, both with the output driven to the label itself.

Meulemans et al., ICML 2022, arXiv:2204.07249; strong_dfc.md 1 and 5.
"""

from dataclasses import replace

from rules import dfc_ss


def gradients(net, activities, target, options, out, noise=None):
    """Return gradients of W from the last time point of the simulated controller for one batch (strong_dfc.md 5).

        dW_l = -2/n (phi(a_l + vs_l - vb_l) - phi(a_l))^T r_{l-1},   a_l = r_{l-1} W_l^T + b_l

    Arguments and result as in rules.dfc_ss.gradients: only the output target is another, the label, which options.aim names.
    """
    return dfc_ss.gradients(net, activities, target, options, out, noise)


RULE = replace(
    dfc_ss.RULE, name="Strong-DFC-2phase", gradients=gradients, published=dfc_ss.RULE.published | {"strong_feedback": True}
)
