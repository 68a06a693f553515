"""Settings: the table of options, the parsing and validation of values, and the merge of all sources.

This module has the class of a row of the table. Every pytest session that has the plugin installed imports it and
``options``. Therefore they import nothing else: they read types, the scenario's defaults and help texts from other
tables only when they are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pytest_nos_stress._internal.validation import OptionType
    from pytest_nos_stress.scenario.fields import FieldOption

UNSET: Final = object()
"""Default that marks an ini key as not set."""


class Setting:
    """One row of the table.

    - ``name``: the keyword in code.
    - ``help``: the purpose of the setting, without a full stop; a text, or a function that returns the text.
    - ``flag``: the command-line option. None for a setting that only code can give, such as a function.
    - ``ini``: the ini key (default: derived from the flag).
    - ``metavar``: the name of the flag's value in ``--help``.
    - ``is_list``: the ini key takes one value per line.
    - ``is_switch``: the flag takes no value and means True.
    - ``is_repeatable``: the flag can be given several times.
    - ``type``: the name of the option type in ``validators``. ``default``: the default value. A setting of the
      scenario has neither.
    """

    __slots__ = (
        "_default",
        "_help",
        "_type",
        "flag",
        "ini",
        "is_list",
        "is_repeatable",
        "is_switch",
        "metavar",
        "name",
    )

    def __init__(
        self,
        name: str,
        help: str | Callable[[], str],
        flag: str | None = None,
        *,
        ini: str | None = None,
        metavar: str | None = None,
        is_list: bool = False,
        is_switch: bool = False,
        is_repeatable: bool = False,
        type: str | None = None,
        default: Any = None,
    ) -> None:
        self.name = name
        self._help = help
        self.flag = flag
        self.ini = ini or (flag and flag.removeprefix("--").replace("-", "_"))
        self.metavar = metavar
        self.is_list = is_list
        self.is_switch = is_switch
        self.is_repeatable = is_repeatable
        self._type = type
        self._default = default

    @property
    def help(self) -> str:
        """Purpose of the setting, as ``--help`` prints it."""
        return self._help if isinstance(self._help, str) else self._help()

    @property
    def is_of_scenario(self) -> bool:
        """True if a scenario decides the setting."""
        return self._type is None

    @property
    def type(self) -> OptionType:
        """Type of the setting's values."""
        if self._type is None:
            return _scenario_options()[self.name].type
        from . import validators

        option_type: OptionType = getattr(validators, self._type)
        return option_type

    @property
    def default(self) -> Any:
        """Value of the setting if no source gives one."""
        return self._default if self._type is not None else _scenario_options()[self.name].default

    @property
    def dest(self) -> str:
        """Attribute of pytest's options that holds the flag's value."""
        return f"nos_stress_{self.name}"

    def check(self, value: Any, label: str | None = None) -> Any:
        """Return the value, normalised.

        ``label`` is the setting's name as the user spelled it (default: ``name``). Raises ``SettingError`` if the
        value is not allowed.
        """
        return self.type.check(value, label or self.name)

    def read(self, text: Any, label: str) -> Any:
        """Parse text from the command line or an ini file, or a native TOML value. Raises ``SettingError``."""
        return self.type.read(text, label)


def _scenario_options() -> Mapping[str, FieldOption]:
    from pytest_nos_stress.scenario.scenario import SCENARIO_OPTIONS

    return SCENARIO_OPTIONS
