"""Configures figure 1D: control drives the output of a 15-10-10-1 network to its target.

50 passes train Q before.
"""

from configs.toy_experiments import MEASURED, TOY

config = (
    TOY
    | MEASURED
    | {
        "size_output": 1,
        "epochs": 1,
        "epochs_fb": 50,
        "k_p": 1.0,
        "tmax_di": 2000,
        "sigma_fb": 0.01,
        "sigma_output_fb": 0.01,
    }
)
