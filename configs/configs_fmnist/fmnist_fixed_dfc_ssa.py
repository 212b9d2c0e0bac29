"""DFC-SSA, fixed feedback weights: Fashion-MNIST."""

from configs._shared import DFC_SSA, FMNIST
from configs.configs_fmnist import FIXED

config = FMNIST | FIXED | DFC_SSA | {"dt_di": 0.001, "tmax_di": 500}
