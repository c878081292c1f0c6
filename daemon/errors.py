"""Every error that the daemon raises on purpose.

    JsRuntimeError
    ├── ConfigError                the configuration cannot be used
    ├── MigrationError             the schema cannot be brought where it should be
    ├── EmbeddedPostgresError      the development server cannot be started or stopped
    ├── StoreError                 the database did not do what was asked
    │   ├── DatabaseUnavailable    it is away; trying again may help
    │   ├── NotFound               no such row for this tenant
    │   ├── Conflict               what is stored does not allow the change
    │   └── InvalidInput           a value is not allowed; `field` names it
    └── SandboxError               an execution could not be run
        └── ZygoteError            the zygote does not start, or died

`message` says what happened and to which value, `hint` what to do about it. Both are written for the person
who will read them: one sentence, nothing secret.
"""

from __future__ import annotations


class JsRuntimeError(Exception):
    """Base of all of them."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class ConfigError(JsRuntimeError):
    """The configuration cannot be used."""


class MigrationError(JsRuntimeError):
    """The schema cannot be brought where it should be; nothing of the failed step was kept."""


class EmbeddedPostgresError(JsRuntimeError):
    """The development server cannot be started or stopped."""


class StoreError(JsRuntimeError):
    """The database did not do what was asked."""


class DatabaseUnavailable(StoreError):
    """The database cannot be reached, or went away in the middle: the statement may or may not be done."""


class NotFound(StoreError):
    """There is no such row, or it belongs to another tenant."""


class Conflict(StoreError):
    """What is stored does not allow the change."""


class InvalidInput(StoreError):
    """A value is not allowed. `field` is the column or the argument, empty where the database did not say."""

    def __init__(self, message: str, hint: str = "", field: str = "") -> None:
        super().__init__(message, hint)
        self.field = field


class SandboxError(JsRuntimeError):
    """An execution could not be run."""


class ZygoteError(SandboxError):
    """The zygote does not start, or died."""
