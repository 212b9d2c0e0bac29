"""Compares the updates of four rules on MNIST, with learnt feedback weights."""

from configs._shared import MNIST
from configs.configs_mnist import DFA, LEARNT
from configs.pipeline_configs import ALIGNMENT, DFC, DFC_SS, DFC_SSA, RESULT_KEYS, RESULT_KEYS_DFA, STATISTICS_KEYS

config_fixed = MNIST | ALIGNMENT
config_collection = {
    "DFA": DFA,
    # Idle.
    "DFC-SSA": LEARNT | DFC_SSA | {"dt_di": 0.005},
    # Idle.
    "DFC-SS": LEARNT | DFC_SS | {"simulate_layerwise": False},
    "DFC": LEARNT | DFC | {"proactive_controller": False},
}
result_keys, result_keys_DFA, statistics_keys = RESULT_KEYS, RESULT_KEYS_DFA, STATISTICS_KEYS
