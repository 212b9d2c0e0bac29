"""Which seeds a command line names, and whether their networks fit into memory."""

import pytest

from core.backend import select_backend
from core.machine import check_memory
from core.options import UsageError
from core.seeds import MOST, parse_seeds

LISTS = {
    "1-5": [1, 2, 3, 4, 5],
    "1 2 5": [1, 2, 5],
    "7": [7],
    "4-4": [4],
    "0,3-4": [0, 3, 4],
    " 9  2-3 ": [9, 2, 3],
    f"1-{MOST}": list(range(1, MOST + 1)),
}
REFUSED = {
    "": "'' is neither a seed",
    "  ": "'' is neither a seed",
    "1,,2": "'' is neither a seed",
    "5-1": "the range 5-1 runs backwards; write 1-5",
    "1-3 3": "seed 3 is given more than once",
    "1-3,2-5": "seed 2 is given more than once",
    "1 1": "seed 1 is given more than once",
    "-1": "'-1' is neither a seed",
    "1-": "'1-' is neither a seed",
    "1.5": "'1.5' is neither a seed",
    "one": "'one' is neither a seed",
    "1-2-3": "'1-2-3' is neither a seed",
    "²": "'²' is neither a seed",
    f"0-{MOST}": f"at most {MOST} seeds",
    "1-999999999999": f"at most {MOST} seeds",
    "1" * 40: "is neither a seed",
}


@pytest.mark.parametrize("text", LISTS)
def test_lists_of_seeds(text):
    assert parse_seeds(text) == LISTS[text]


@pytest.mark.parametrize("text", REFUSED)
def test_lists_that_are_refused(text):
    with pytest.raises(UsageError) as error:
        parse_seeds(text)
    assert str(error.value).startswith(f"--seeds={text}: ") and REFUSED[text] in str(error.value)


class Room:
    """A backend of which only the free memory is asked."""

    def __init__(self, free):
        self.free_memory = lambda: free


def test_networks_that_fit_are_told():
    assert check_memory(5, 200_000_000, Room(1_000_000_000), "--seeds=1-5") == "; 5 networks at once take about 1.0 GB"
    assert check_memory(3, 1000, Room(None), "--seeds=1-3") == "; 3 networks at once take about 1 MB"


@pytest.mark.parametrize("free", [100_000_000, None])
def test_a_single_network_that_may_fit_is_not_talked_about(free):
    assert check_memory(1, 700_000_000, Room(free), "--nb_layers=9") == ""


def test_a_single_network_whose_weights_and_gradients_alone_do_not_fit_is_refused():
    with pytest.raises(UsageError, match=r"^--nb_layers=9: the network takes at least 100 MB of memory, and 50 MB are"):
        check_memory(1, 700_000_000, Room(50_000_000), "--nb_layers=9")


@pytest.mark.parametrize("free, what", [(999_999_999, "train 4 at a time"), (199_999_999, "not even one fits")])
def test_networks_that_do_not_fit_are_refused_with_a_number_that_does(free, what):
    expected = f"^--seeds=1-5: 5 networks at once take about 1.0 GB of memory, and .* are free; {what}$"
    with pytest.raises(UsageError, match=expected):
        check_memory(5, 200_000_000, Room(free), "--seeds=1-5")


def test_this_machine_tells_how_much_memory_is_free():
    free = select_backend("numpy").free_memory()
    assert free is None or 1_000_000 < free < 1 << 50
