"""Compares the updates of four rules on the MNIST autoencoder, with fixed feedback weights.

These are the product of the initial forward weights.
"""

from configs._shared import AUTOENCODER
from configs.configs_mnist_auto import DFA, FIXED
from configs.pipeline_configs import ALIGNMENT, DFC, DFC_SS, DFC_SSA, RESULT_KEYS, RESULT_KEYS_DFA, STATISTICS_KEYS

# The other pipelines learn from all samples.
CONVERGED = {"include_non_converged_samples": False}

config_fixed = AUTOENCODER | ALIGNMENT
config_collection = {
    "DFA": DFA,
    # Idle.
    "DFC-SSA (fixed)": FIXED | DFC_SSA | {"simulate_layerwise": True},
    "DFC-SS (fixed)": FIXED | DFC_SS | CONVERGED | {"dt_di": 0.001},
    # The last one is idle.
    "DFC (fixed)": FIXED | DFC | CONVERGED | {"sigma_output_fb": -1},
}
result_keys, result_keys_DFA, statistics_keys = RESULT_KEYS, RESULT_KEYS_DFA, STATISTICS_KEYS
