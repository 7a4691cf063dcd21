"""Ratios of the running product to what its machine can do at best, measured in one run: `python -m bench`."""
