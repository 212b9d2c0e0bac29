"""Configures figure 3: DFC."""

from configs.toy_experiments.configs_fig3 import CONTROLLED, FEEDBACK, RESULT_KEYS, STATISTICS_KEYS

config_fixed = CONTROLLED | {"grad_deltav_cont": True, "tmax_di": 1000, "sigma": 0.0005, "sigma_fb": 0.01}
config_collection = FEEDBACK
result_keys, statistics_keys = RESULT_KEYS, STATISTICS_KEYS
