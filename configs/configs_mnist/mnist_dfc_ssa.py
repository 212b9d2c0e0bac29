"""Trains a network on MNIST by DFC-SSA with learnt feedback weights.

The published module also searched for gn_damping, which ended its training after three epochs; that is left out
here.
"""

from configs._shared import DFC_SSA, MNIST
from configs.configs_mnist import LEARNT

config = MNIST | LEARNT | DFC_SSA | {"dt_di": 0.001}
