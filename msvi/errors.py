"""The one exception a user is meant to read, and the check that raises it most."""


class InputError(ValueError):
    """Something handed to `msvi` cannot be used.

    The message is one sentence that says what was got, what was expected and what to do. The command
    line prints it without a traceback and exits with status 2.
    """


def require_at_least(group: object, prefix: str, **least: float) -> None:
    """Checks that fields of a configuration group have at least the given values.

    Raises:
      InputError: naming the first field that is smaller, or not finite.
    """
    for name, bound in least.items():
        value = getattr(group, name)
        if not bound <= value < float("inf"):
            raise InputError(f"`{prefix}.{name}` must be finite and at least {bound}, got {value}; change it.")


def require_positive(group: object, prefix: str, *names: str) -> None:
    """Checks that fields of a configuration group are finite and above zero.

    Raises:
      InputError: naming the first field that is not.
    """
    for name in names:
        value = getattr(group, name)
        if not 0 < value < float("inf"):
            raise InputError(f"`{prefix}.{name}` must be positive and finite, got {value}; change it.")


def require_order(group: object, prefix: str, low: str, high: str) -> None:
    """Checks that one field of a configuration group is at most another one.

    Raises:
      InputError: it is not.
    """
    least, largest = getattr(group, low), getattr(group, high)
    if largest < least:
        raise InputError(f"`{prefix}.{high}` must be at least `{low}`, {least}, got {largest}; exchange them.")
