"""The list of planted defects (tests/mutation.py) fits the code, so that `make mutants` can run."""

import pytest

from tests.mutation import FEEDBACK_MUTANTS, MUTANTS, ROOT


@pytest.mark.parametrize("mutant", [*MUTANTS, *FEEDBACK_MUTANTS])
def test_a_mutant_finds_what_it_changes(mutant):
    file, right, wrong, *tests = (MUTANTS | FEEDBACK_MUTANTS)[mutant]
    assert (ROOT / file).read_text().count(right) == 1 and right != wrong
    assert all((ROOT / test).exists() for test in tests)
