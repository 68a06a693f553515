"""Helpers that import no other part of the package, except its exceptions.

The package imports this module first. It captures what a test may replace, for ``instrument``. Importing that
module here would take longer.
"""

import threading
import time  # noqa: TID251
from importlib.util import module_from_spec
from typing import Any

captured_time: Any = module_from_spec(time.__spec__)
"""A private copy of the module ``time``."""
time.__spec__.loader.exec_module(captured_time)  # type: ignore[union-attr]
captured_threading: dict[str, Any] = dict(vars(threading))
"""The names of the module ``threading``."""
