"""Options: intervals, conversions, and what the command line and its help make of them."""

import dataclasses
import math
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.options import Parser, UsageError, add_arguments, complete, option, read_lists, within


@dataclass(frozen=True)
class Record:
    rate: float = option(0.5, "step size", bounds="(0, 1]", group="first")
    count: int = option(3, "things, 100 % of them", bounds="[0, inf)", names=("--cuont",), group="second")
    kind: str = option("red", "colour", choices=("red", "blue"), group="first")
    place: str = option("here", "where to put it")
    free: str = option("", "where to look; default: everywhere")
    loud: bool = option(False, "make noise")
    hidden: int = 7


def parser():
    found = Parser(prog="tool.py")
    add_arguments(found, Record, "others")
    return found


def parse(*argv):
    return vars(parser().parse_args(argv))


def refusal(capsys, *argv):
    """The line that the parser must leave on stderr, with status 2 and nothing on stdout."""
    with pytest.raises(SystemExit) as stop:
        parser().parse_args(argv)
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("tool.py: ")
    return line


# ---- intervals

INSIDE = {
    "[0, 1]": ([0, 0.5, 1, 1.0, 5e-324, -0.0], [-5e-324, 1 + 2**-52, -1, 2]),
    "(0, 1)": ([5e-324, 1 - 2**-53], [0, -0.0, 1, 1.5]),
    "(0, 1]": ([1, 0.5], [0, 1.01]),
    "[0, 1)": ([0, 0.99], [1, -1]),
    "[1, inf)": ([1, 10**9, 1.7e308], [0, -1, 0.999]),
    "(-inf, 3]": ([-1e300, 3], [3.1]),
    "[-2.5, 1e3]": ([-2.5, 1000], [-2.6, 1001]),
}


@pytest.mark.parametrize("bounds", INSIDE)
def test_ends_belong_to_an_interval_as_its_brackets_say(bounds):
    inside, outside = INSIDE[bounds]
    assert [value for value in inside if not within(value, bounds)] == []
    assert [value for value in outside if within(value, bounds)] == []


@pytest.mark.parametrize("bounds", [*INSIDE, "[-inf, inf]"])
def test_nan_and_infinity_lie_in_no_interval(bounds):
    """They would pass any comparison written the wrong way round, and train on."""
    assert not any(within(value, bounds) for value in (math.nan, math.inf, -math.inf))


@settings(deadline=None, derandomize=True, database=None)
@given(
    st.floats(allow_nan=False), st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.sampled_from("[("), st.sampled_from("])")
)
def test_interval_is_the_conjunction_of_its_ends(value, low, high, opening, closing):
    above = value > low or (opening == "[" and value == low)
    below = value < high or (closing == "]" and value == high)
    expected = above and below and not math.isinf(value)
    assert within(value, f"{opening}{low!r}, {high!r}{closing}") == expected


@pytest.mark.parametrize("digits", [400, 4000])
def test_whole_number_beyond_every_float_is_compared_like_any_other(digits):
    assert not within(10**digits, "[0, 64]")
    assert within(10**digits, "[0, inf)")
    assert not within(-(10**digits), "[0, inf)")


@pytest.mark.parametrize("bounds", ["", "0, 1", "[0; 1]", "[0,1]", "]0, 1[", "[a, 1]", "[0, 1] "])
def test_misspelt_interval_is_found_when_the_option_is_declared(bounds):
    with pytest.raises(ValueError):
        option(1, "meaning", bounds=bounds)


# ---- conversion


def test_values_have_the_type_of_the_default():
    found = parse("--rate=1", "--count=4", "--kind=blue", "--place=there", "--loud")
    assert found == {"rate": 1.0, "count": 4, "kind": "blue", "place": "there", "loud": True}
    assert {name: type(value) for name, value in found.items()} == {
        name: type(field.default) for name, field in Record.__dataclass_fields__.items() if name in found
    }


def test_options_not_given_stay_absent():
    """Else a rule could not tell that an option of another rule was given."""
    assert parse() == {}
    assert parse("--loud") == {"loud": True}


def test_further_spellings_set_the_same_option():
    assert parse("--cuont=9") == parse("--count=9") == {"count": 9}


def test_last_one_wins():
    assert parse("--count=1", "--count", "2") == {"count": 2}


def test_record_without_the_command_line_holds_the_defaults():
    assert Record() == Record(0.5, 3, "red", "here", "", False, 7)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Record().rate = 1.0


REFUSED = {
    "--rate=0": ["--rate", "0 is", "(0, 1]"],
    "--rate=1.5": ["--rate", "1.5", "(0, 1]"],
    "--rate=nan": ["--rate", "nan", "(0, 1]"],
    "--rate=inf": ["--rate", "inf", "(0, 1]"],
    "--rate=much": ["--rate", "much", "a number"],
    "--rate=": ["--rate", "a number"],
    "--count=-1": ["--count", "-1", "[0, inf)"],
    "--cuont=-1": ["--cuont", "-1", "[0, inf)"],
    "--count=2.0": ["--count", "2.0", "whole number"],
    "--count=1e3": ["--count", "1e3", "whole number"],
    "--kind=green": ["--kind", "green", "red, blue"],
    "--kind=Red": ["--kind", "Red", "red, blue"],
    "--loud=1": ["--loud", "1"],
    "--place": ["--place"],
    "--hidden=1": ["--hidden"],
    "--rat=0.5": ["--rat=0.5", "--rate"],
    "--ratee=0.5": ["--ratee", "did you mean --rate?"],
    "--something-else": ["--something-else", "no such option"],
    "word": ["word"],
}


@pytest.mark.parametrize("argument", REFUSED)
def test_bad_argument_is_refused_in_one_line_with_name_value_and_bound(argument, capsys):
    line = refusal(capsys, argument)
    assert [word for word in REFUSED[argument] if word not in line] == [], line


# ---- help


def test_help_tells_meaning_bounds_choices_and_default():
    text = " ".join(parser().format_help().split())
    assert "--rate FLOAT step size, in (0, 1]; default 0.5" in text
    assert "--cuont INT things, 100 % of them, in [0, inf); default 3" in text
    assert "--kind {red,blue} colour; default red" in text
    assert "where to put it; default here" in text
    assert "where to look; default: everywhere" in text and "everywhere;" not in text
    assert "--loud make noise" in text
    assert "hidden" not in text


def test_help_keeps_the_options_of_a_group_together():
    text = parser().format_help()
    # "--rate, --speed FLOAT" from Python 3.13 on, "--rate FLOAT, --speed FLOAT" before
    in_groups = [text.rindex(f"\n  --{name}") for name in ("rate", "kind", "count", "place")]
    assert in_groups == sorted(in_groups)
    assert text.index("first:") < text.rindex("  --kind ") < text.index("second:")


# ---- options that follow others, lists, and what an option acts only with


@dataclass(frozen=True)
class Lists:
    first: float = option(1.0, "the first", bounds="[0, inf)")
    second: float = option(-1.0, "the second", bounds="[0, inf)", follows="first")
    third: float = option(None, "the third", kind=float, follows="second", needs="--loud")
    rates: str = option("0.5", "some", entries=float, bounds="(0, 1]")
    sizes: str = option("3", "more", entries=int, bounds="[1, inf)")
    colours: str = option("red", "paint", entries=("red", "blue"))
    rate: str = option("0.1", "one", entries=float, one=True, bounds="(0, 1]")


@pytest.mark.parametrize(
    "asked, found", [({}, (1.0, 1.0, 1.0)), ({"first": 2}, (2.0, 2.0, 2.0)), ({"second": 3}, (1.0, 3.0, 3.0))]
)
def test_an_option_follows_another_unless_it_is_given(asked, found):
    values = vars(Lists(**asked)).copy()
    complete(Lists, values)
    assert (values["first"], values["second"], values["third"]) == found


def test_lists_are_read_entry_by_entry():
    values = vars(Lists(rates="[0.5, 1]", sizes="(4,)", colours="'red', \"blue\"")).copy()
    assert read_lists(Lists, values) == {"rates": (0.5, 1.0), "sizes": (4,), "colours": ("red", "blue"), "rate": 0.1}


@pytest.mark.parametrize(
    "name, text, problem",
    [
        ("rates", "[0.5, 2]", "2 is out of range: must be in (0, 1]"),
        ("rates", "x", "'x' is not a number"),
        ("sizes", "1.5", "'1.5' is not a whole number"),
        ("colours", "[red, green]", "'green' is not one of red, blue"),
        ("rate", "0.1, 0.2", "takes one number, not 2"),
    ],
)
def test_a_wrong_entry_is_refused_with_name_text_and_bound(name, text, problem):
    with pytest.raises(UsageError) as refused:
        read_lists(Lists, vars(Lists(**{name: text})))
    assert str(refused.value) == f"--{name}={text}: {problem}"


def test_help_tells_what_an_option_follows_and_what_it_acts_only_with():
    parser = Parser(prog="program")
    add_arguments(parser, Lists)
    text = " ".join(parser.format_help().split())
    assert "--second FLOAT the second; -1: first, in [0, inf) or -1; default -1.0" in text
    assert "--third FLOAT the third; default: second; only with --loud" in text
    assert "--rate FLOAT one, in (0, 1]; default 0.1" in text
