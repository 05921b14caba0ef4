"""The one exception a user is meant to read."""


class InputError(ValueError):
    """Something handed to `msvi` cannot be used.

    The message is one sentence that says what was got, what was expected and what to do. The command
    line prints it without a traceback and exits with status 2.
    """
