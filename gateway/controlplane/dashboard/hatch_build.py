"""Puts the built dashboard into wheels and source distributions, so that who installs those needs no Node."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

__all__ = ["DashboardHook"]

_PLACE: Final = "gateway/controlplane/dashboard"
_GO_WITHOUT: Final = "GATEWAY_NO_DASHBOARD"
_STAMP: Final = ".built-from"


class DashboardHook(BuildHookInterface):
    """Builds the dashboard, if what there is was not built from the sources that there are."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Say which files are to be taken along."""
        # An editable installation serves from the checkout, where `make dashboard` builds.
        if version == "editable" or os.environ.get(_GO_WITHOUT, "").lower() in {"1", "true", "yes", "on"}:
            return
        folder = Path(self.root, _PLACE)
        sys.path.insert(0, str(folder))
        try:
            import make  # noqa: PLC0415 - it lies beside this file, which is no module
        finally:
            sys.path.remove(str(folder))
        try:
            make.build()
        except make.DashboardError as error:
            self.app.abort(f"{error}\nTo build a package without the dashboard, set {_GO_WITHOUT}=1.")
        taken = [f"{_PLACE}/build"]
        if self.target_name == "sdist":
            taken.append(f"{_PLACE}/{_STAMP}")
        build_data["force_include"].update({str(Path(self.root, one)): one for one in taken})
