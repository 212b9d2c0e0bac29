"""DFC-SS, learnt feedback weights: Fashion-MNIST."""

from configs._shared import DFC_SS, FMNIST
from configs.configs_fmnist import LEARNT

config = FMNIST | LEARNT | DFC_SS | {"dt_di": 0.02, "efficient_controller": False}  # the stored simulation
