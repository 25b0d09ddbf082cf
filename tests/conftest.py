"""Hypothesis profiles: `fast` while working, `ci` that always tries the same, `property` for a long search."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# The strategies build whole streams, which takes longer than Hypothesis expects of an example.
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile("fast", max_examples=100, deadline=None, suppress_health_check=_SLOW)
settings.register_profile("ci", max_examples=100, deadline=None, suppress_health_check=_SLOW, derandomize=True)
settings.register_profile("property", max_examples=3000, deadline=None, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))
