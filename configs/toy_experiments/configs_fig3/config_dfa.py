"""Configures figure 3: DFA with random feedback weights."""

from configs.toy_experiments.configs_fig3 import RESULT_KEYS_DFA, STATISTICS_KEYS, TOY

# The last two are idle.
config_fixed = TOY | {"network_type": "DFA", "ndi": True, "tmax_di": 500}
config_collection = {"DFA": {"freeze_fb_weights": True, "initialization_K": "xavier_normal"}}
result_keys, result_keys_DFA, statistics_keys = RESULT_KEYS_DFA, RESULT_KEYS_DFA, STATISTICS_KEYS
