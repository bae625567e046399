"""All targets, by name."""

from __future__ import annotations

from tests.fuzz import files, http, names, values

__all__ = ("TARGETS",)

TARGETS = {**http.TARGETS, **values.TARGETS, **files.TARGETS, **names.TARGETS}
