"""The equations whose solutions are the published cases, one a file."""
