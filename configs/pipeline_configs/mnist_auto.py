"""Compares the updates of four rules on the MNIST autoencoder, with learnt feedback weights."""

from configs._shared import AUTOENCODER
from configs.configs_mnist_auto import DFA, LEARNT
from configs.pipeline_configs import ALIGNMENT, DFC, DFC_SS, DFC_SSA, RESULT_KEYS, RESULT_KEYS_DFA, STATISTICS_KEYS

# Unlike in Table 1, the output layer has the noise of the others.
OUTPUT_NOISE = {"sigma_output_fb": -1}

config_fixed = AUTOENCODER | ALIGNMENT
config_collection = {
    "DFA": DFA,
    "DFC-SSA": LEARNT | OUTPUT_NOISE | DFC_SSA,
    "DFC-SS": LEARNT | OUTPUT_NOISE | DFC_SS | {"dt_di": 0.001},
    "DFC": LEARNT | OUTPUT_NOISE | DFC | {"dt_di": 0.001},
}
result_keys, result_keys_DFA, statistics_keys = RESULT_KEYS, RESULT_KEYS_DFA, STATISTICS_KEYS
