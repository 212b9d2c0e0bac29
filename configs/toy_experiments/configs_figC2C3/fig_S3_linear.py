"""Configures figure S3 for linear hidden units: the leak of the controller grows."""

from configs.toy_experiments.configs_figC2C3 import LEAKS, LEARN_FEEDBACK, RESULT_KEYS, STATISTICS_KEYS

config_fixed = LEARN_FEEDBACK | {"hidden_activation": "linear", "k_p_fb": 0.3, "gn_damping": 5.0}
config_collection = LEAKS
result_keys, statistics_keys = RESULT_KEYS, STATISTICS_KEYS
