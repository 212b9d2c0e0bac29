"""Defines the errors that a user can mend: every script turns them into one sentence and the exit status 2."""


class UserError(Exception):
    """Says that something which the user controls is wrong: the command line, a file, a data set or a device.

    The text is one sentence for the user. It names what is wrong, its value, and what would be right.
    """


class UsageError(UserError):
    """Says that the command line is wrong, in one sentence with the option, its value and what is legal."""
