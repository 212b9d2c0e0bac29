"""The learning rules by name.  A new rule is one file here and one line below; files that start with _ are shared."""

from rules import backprop, dfc, dfc_ss, dfc_ssa, direct_feedback, gait, strong_dfc, target_prop

RULES = {module.RULE.name: module.RULE for module in (backprop, gait, target_prop)}  # run.py: invertible networks
FEEDBACK_NET_RULES = {  # main.py: networks with direct feedback
    module.RULE.name: module.RULE for module in (dfc, dfc_ss, dfc_ssa, strong_dfc, direct_feedback, backprop)
}
