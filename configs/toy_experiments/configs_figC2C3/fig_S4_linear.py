"""Configures figure S4 for linear hidden units: the proportional gain grows."""

from configs.toy_experiments.configs_figC2C3 import GAINS, LEARN_FEEDBACK, RESULT_KEYS, STATISTICS_KEYS

config_fixed = LEARN_FEEDBACK | {"hidden_activation": "linear", "alpha_fb": 0.1, "gn_damping": 5.0}
config_collection = GAINS
result_keys, statistics_keys = RESULT_KEYS, STATISTICS_KEYS
