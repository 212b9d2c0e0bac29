"""Configures figure S2 for tanh hidden units: the damping of the pseudo-inverse of J grows."""

from configs.toy_experiments.configs_figC2C3 import DAMPINGS, LEARN_FEEDBACK, RESULT_KEYS, STATISTICS_KEYS

config_fixed = LEARN_FEEDBACK | {"k_p_fb": 0.0}
config_collection = DAMPINGS
result_keys, statistics_keys = RESULT_KEYS, STATISTICS_KEYS
