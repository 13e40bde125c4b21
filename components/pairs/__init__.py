"""Clicked against skipped on the same page: the pairs that the Image Score learns from."""
