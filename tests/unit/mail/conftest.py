"""Hypothesis without a deadline an example: a busy machine is no bug. Costs have own tests."""

from hypothesis import settings

settings.register_profile("patient", settings(), deadline=None)
settings.load_profile("patient")
