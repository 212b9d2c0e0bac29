"""DFC-SS, fixed feedback weights: MNIST."""

from configs._shared import DFC_SS, MNIST
from configs.configs_mnist import FIXED

config = MNIST | FIXED | DFC_SS | {"dt_di": 0.02, "tmax_di": 500}
