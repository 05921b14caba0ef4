"""The commands of `msvi`, each a module with `start`, and what they share."""
