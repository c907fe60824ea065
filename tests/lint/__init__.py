"""Checks of the tests themselves, by their syntax: what makes a test slow or unsteady."""
