"""The forms of files that fields are read from, one a file."""
