"""Run folders made up for tests of what reads them, and what a command line of main.py resolves to."""

import json
from types import SimpleNamespace

from main import parse

# This is the part of config.json that tells rule, data and seed.
OPTIONS = {
    "main.py": {"dataset": "fashion_mnist", "network_type": "DFC", "ndi": True, "single_precision": True, "epochs": 2},
    "run.py": {"dataset": "FMNIST", "algorithm": "GAIT", "precision": "float64", "nb_epochs": 2},
}
ROWS = {
    "main.py": "epoch,batch,loss_train,acc_train,loss_val,acc_val,loss_test,acc_test,seconds\n"
    "1,0,0.5,0.75,0.6,0.875,0.7,0.5,3.0\n2,0,0.25,0.875,0.8,0.75,0.9,0.625,5.0\n",
    "run.py": "epoch,batch,training_acc,training_loss,test_acc,test_loss,seconds\n"
    "0,0,0.125,1.0,0.125,1.5,0.0\n1,0,0.5,0.75,0.25,0.875,4.0\n2,0,0.75,0.5,0.5,0.625,8.0\n",
}
ENDS = {
    "main.py": {"outcome": "finished", "epochs": 2, "loss_test": 0.9, "acc_test": 0.625, "seconds": 5.5},
    "run.py": {"outcome": "finished", "epochs": 2, "training_acc": 0.75, "test_acc": 0.5, "seconds": 8.5},
}


# Lists of seeds that both programs refuse: (option, the beginning of the sentence)
BAD_SEEDS = {
    "overlapping": (["--seeds=1-3,3"], "--seeds=1-3,3: seed 3 is given more than once"),
    "reversed": (["--seeds=5-1"], "--seeds=5-1: the range 5-1 runs backwards"),
    "empty": (["--seeds="], "--seeds=: '' is neither a seed"),
    "words": (["--seeds=one"], "--seeds=one: 'one' is neither a seed"),
}


def resolved(argv):
    """Every flag of a command line of main.py as an attribute, with its args and notes."""
    found = parse(argv)
    return SimpleNamespace(**found.flags, args=found.args, notes=found.notes)


def make_run(folder, program="main.py", seed=1, done="finished", rows=None, log=None, **options):
    """A run folder; done: "finished", the content of DONE, or None for none."""
    folder.mkdir(parents=True)
    options = OPTIONS[program] | {"seed" if program == "run.py" else "random_seed": seed} | options
    settings = {name: value for name, value in options.items() if name not in ("epochs", "nb_epochs")}
    config = {"command": [f"/home/someone/{program}", f"--out_dir={folder}"], "settings": settings, "options": options}
    config |= {"time": f"2026-01-0{seed % 9 + 1}", "versions": {"python": "3.12.1", "numpy": "2.4.6"}, "threads": 1}
    config |= {"device": "CPU", "machine": "Linux", "git_commit": "abc", "host": "someones-laptop"}
    (folder / "config.json").write_text(json.dumps(config))
    if rows is not False:
        (folder / "metrics.csv").write_text(rows or ROWS[program])
    if done is not None:
        (folder / "DONE").write_text(json.dumps(ENDS[program] if done == "finished" else done))
    if log is not None:
        (folder / "log.txt").write_text(log)
    return folder


def tree(folder):
    """{path: (bytes or None for a folder, time of change)} of all that is below a folder."""
    paths = [folder, *folder.rglob("*")]
    return {path: (path.read_bytes() if path.is_file() else None, path.stat().st_mtime_ns) for path in paths}
