"""Scores, figures and result files of a run or a baseline over a split."""
