"""The learning rules by name.  A new rule is one file here and one line in RULES; files that start with _ are shared."""

from rules import backprop, gait, target_prop

RULES = {module.RULE.name: module.RULE for module in (backprop, gait, target_prop)}
