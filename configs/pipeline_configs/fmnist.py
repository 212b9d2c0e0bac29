"""Compares the updates of four rules on Fashion-MNIST, with learnt feedback weights."""

from configs._shared import FMNIST
from configs.configs_fmnist import DFA, LEARNT
from configs.pipeline_configs import ALIGNMENT, DFC, DFC_SS, DFC_SSA, RESULT_KEYS, RESULT_KEYS_DFA, STATISTICS_KEYS

config_fixed = FMNIST | ALIGNMENT
config_collection = {
    "DFA": DFA,
    # Idle.
    "DFC-SSA": LEARNT | DFC_SSA | {"proactive_controller": True},
    # The last one is idle.
    "DFC-SS": LEARNT | DFC_SS | {"proactive_controller": True, "simulate_layerwise": False},
    "DFC": LEARNT | DFC,
}
result_keys, result_keys_DFA, statistics_keys = RESULT_KEYS, RESULT_KEYS_DFA, STATISTICS_KEYS
