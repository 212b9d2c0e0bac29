"""The eight published command lines of Strong-DFC: flags as published, of which `translate` makes those of main.py."""

NET = {
    "size_hidden": "256,256,256",
    "hidden_activation": "tanh",
    "initialization": "xavier_normal",
    "epochs": 40,
    "clip_grad_norm": 1.0,
}
