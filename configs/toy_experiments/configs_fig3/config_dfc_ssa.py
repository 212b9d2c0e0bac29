"""Configures figure 3: DFC-SSA."""

from configs.toy_experiments.configs_fig3 import CONTROLLED, FEEDBACK, RESULT_KEYS, STATISTICS_KEYS

# The last one is idle.
config_fixed = CONTROLLED | {"ndi": True, "tmax_di": 500}
config_collection = FEEDBACK
result_keys, statistics_keys = RESULT_KEYS, STATISTICS_KEYS
