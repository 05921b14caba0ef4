"""A model with linear networks, of which everything is known."""

import pytest
from linear_model import make_linear


@pytest.fixture(scope="session")
def linear():
    """The model and its parameters."""
    return make_linear()
