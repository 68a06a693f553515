"""Where settings come from: the table of options, text as values, the order of sources. Here: a row of the table.

Every pytest session that has the plugin installed imports this module and ``options``, so that they import nothing
else: types, the scenario's defaults, and help that other tables write are read when they are needed.
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
    - ``help``: what the setting is for, as text or as a function that returns it.
    - ``flag``: the command-line option; None for a setting that only code can give, such as a function.
    - ``ini``: the ini key (default: made from the flag).
    - ``metavar``: how ``--help`` names the flag's value.
    - ``is_list``: the ini key takes one value a line.
    - ``is_switch``: the flag takes no value and means True. ``is_repeatable``: the flag adds up.
    - ``type``: the name of the option type in ``validators``, and ``default``: its default. Both are left out for
      a setting of the scenario.
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
        """What the setting is for."""
        return self._help if isinstance(self._help, str) else self._help()

    @property
    def is_of_scenario(self) -> bool:
        """Whether a scenario decides the setting."""
        return self._type is None

    @property
    def type(self) -> OptionType:
        """The type of the setting's values."""
        if self._type is None:
            return _scenario_options()[self.name].type
        from . import validators

        option_type: OptionType = getattr(validators, self._type)
        return option_type

    @property
    def default(self) -> Any:
        """The value of the setting if no source gives one."""
        return self._default if self._type is not None else _scenario_options()[self.name].default

    @property
    def dest(self) -> str:
        """The attribute under which pytest keeps the flag's value."""
        return f"nos_stress_{self.name}"

    def check(self, value: Any, label: str | None = None) -> Any:
        """Return the value, normalised.

        Raises ``SettingError`` if it is not allowed; ``label`` is how the user spelled the setting (default: its
        name).
        """
        return self.type.check(value, label or self.name)

    def read(self, text: Any, label: str) -> Any:
        """Return the value of text from the command line or an ini file, or of a native TOML value."""
        return self.type.read(text, label)


def _scenario_options() -> Mapping[str, FieldOption]:
    from pytest_nos_stress.scenario.scenario import SCENARIO_OPTIONS

    return SCENARIO_OPTIONS
