"""Compares the updates of four rules on MNIST, with fixed feedback weights.

These are the product of the initial forward weights.
"""

from configs._shared import MNIST
from configs.configs_mnist import DFA, FIXED
from configs.pipeline_configs import ALIGNMENT, DFC, DFC_SS, DFC_SSA, RESULT_KEYS, RESULT_KEYS_DFA, STATISTICS_KEYS

config_fixed = MNIST | ALIGNMENT
config_collection = {
    "DFA": DFA,
    # Idle.
    "DFC-SSA (fixed)": FIXED | DFC_SSA | {"dt_di": 0.005, "simulate_layerwise": True},
    "DFC-SS (fixed)": FIXED | DFC_SS,
    "DFC (fixed)": FIXED | DFC,
}
result_keys, result_keys_DFA, statistics_keys = RESULT_KEYS, RESULT_KEYS_DFA, STATISTICS_KEYS
