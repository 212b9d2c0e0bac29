"""Defines the error that a user can mend: every script turns it into one sentence and the exit status 2."""


class UserError(Exception):
    """Something on the command line, in a file, in a data set or about a device is not as it must be.

    The text is one sentence for the user. It names what is wrong, its value, and what would be right.
    """
