"""Lists the learning rules by name.

A new rule is one file here and one line below; files whose names start with _ are shared.
"""

from rules import backprop, dfc, dfc_ss, dfc_ssa, direct_feedback, gait, strong_dfc, strong_dfc_2phase, target_prop

# The rules of run.py, for invertible networks.
RULES = {module.RULE.name: module.RULE for module in (backprop, gait, target_prop)}
# The rules of main.py, for networks with direct feedback.
FEEDBACK_NET_RULES = {
    module.RULE.name: module.RULE
    for module in (dfc, dfc_ss, dfc_ssa, strong_dfc, strong_dfc_2phase, direct_feedback, backprop)
}
