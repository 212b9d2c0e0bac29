"""Are the tests sharp?  Plants one-line defects, one at a time, in a copy of the program; every one must make a test fail.

    python tests/mutation.py [NAME ...]         (or: make mutants)

Prints a line a mutant and exits with status 1 if one survives.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
TESTS = ("tests/rules", "tests/nets", "tests/core/test_parts.py", "tests/core/test_optimisers.py", "tests/reference")

# name: (file, the right line or part of it, the defect)
MUTANTS = {
    "sign of the output error": ("rules/backprop.py", "- target", "+ target"),
    "missing 1/batch": ("core/gradients.py", "delta * (1.0 / delta.shape[-2])", "delta * 1.0"),
    "sum for the mean of the biases": ("core/gradients.py", "delta.mean(axis=-2)", "delta.sum(axis=-2)"),
    "W for its transpose": ("inv_layer.py", "[..., : rows.shape[-1]].swapaxes(-1, -2)", "[..., : rows.shape[-1], :]"),
    "inverse of the transpose": ("inv_layer.py", "xp.linalg.solve(self.weights.swapaxes(-1, -2),", "xp.linalg.solve(self.weights,"),
    "bias forgotten in the inverse": ("inv_layer.py", "self.transfer.inverse(y) - self.biases", "self.transfer.inverse(y)"),
    "stale Gram matrix": ("inv_layer.py", "self.version += 1", "pass"),
    "diagonal left in the regulariser": ("inv_layer.py", "off[..., entries, entries] = 0.0", "pass"),
    "forgotten gamma": ("rules/gait.py", "step *= gamma", "pass"),
    "slope not squared": ("rules/gait.py", "slope * delta, step", "delta, step"),
    "kink ignored": ("utils.py", "crossed = (h >= 0) != (w >= 0)", "crossed = (h >= 0) != (h >= 0)"),
    "slope at zero": ("utils.py", "positive = (h >= 0)", "positive = (h > 0)"),
    "absolute form keeps its scale": ("rules/gait.py", "scale *= gamma", "pass"),
    "reused seed": ("core/streams.py", "key = (PURPOSES.index(purpose), index)", "key = (PURPOSES.index(purpose), min(index, 1))"),
    "neighbouring seeds share layers": ("core/streams.py", "SeedSequence(seed, spawn_key=key)", "SeedSequence(seed + index)"),
    "Haar without signs": ("core/initialisers.py", "q * np.where(np.diag(r) < 0, -1.0, 1.0)", "q"),
    "regulariser without its 4": ("core/regularisers.py", "out *= 4.0 * self.strength", "out *= self.strength"),
    "regulariser lost": ("core/learner.py", "start_from_zero=not self.regulariser", "start_from_zero=True"),
    "moments swapped": ("core/optimisers.py", "v *= self.beta2", "v *= self.beta1"),
    "bias correction at the wrong step": ("core/optimisers.py", "self.beta1**self.steps", "self.beta1 ** (self.steps + 1)"),
    "accuracy over auxiliary outputs": ("core/evaluation.py", "auxiliary=False", "auxiliary=True"),
    "auxiliary targets of TP dropped": ("rules/target_prop.py", "h[..., active.shape[-1] :]]", "0 * h[..., active.shape[-1] :]]"),
}  # fmt: skip


def tests_pass(folder):
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *TESTS]
    return subprocess.run(command, cwd=folder, capture_output=True).returncode == 0


def survives(mutant, folder):
    """Whether all tests pass with the defect planted in the copy in `folder`."""
    name, right, wrong = MUTANTS[mutant]
    file = folder / name
    source = file.read_text()
    if source.count(right) < 1:
        raise SystemExit(f"mutant {mutant!r}: {name} has no {right!r}; write the mutant anew")
    file.write_text(source.replace(right, wrong, 1))
    try:
        return tests_pass(folder)
    finally:
        file.write_text(source)


def main(names):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "copy"
        ignored = shutil.ignore_patterns(".git", ".venv*", "results", "__pycache__", ".*_cache")
        shutil.copytree(ROOT, folder, ignore=ignored)
        if not tests_pass(folder):
            raise SystemExit("the tests fail without any mutant: mend that first")
        left = []
        for mutant in tqdm(names or MUTANTS, disable=None):
            alive = survives(mutant, folder)
            tqdm.write(f"{'SURVIVES' if alive else 'caught  '}  {mutant}", file=sys.stdout)
            left += [mutant] * alive
    print(f"{len(left)} of {len(names or MUTANTS)} mutants survive")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
