"""Configures figure 3: DFC-SS."""

from configs.toy_experiments.configs_fig3 import CONTROLLED, FEEDBACK, RESULT_KEYS, STATISTICS_KEYS

config_fixed = CONTROLLED | {"tmax_di": 1000}
config_collection = FEEDBACK
result_keys, statistics_keys = RESULT_KEYS, STATISTICS_KEYS
