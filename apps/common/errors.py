"""The errors that services raise. Each says what was wrong and what would be right; none knows HTTP."""

from datetime import timedelta


class DomainError(Exception):
    """A refusal with a stable `code` for programs and a `message` for people."""

    code = "error"

    def __init__(
        self, message: str, *, code: str | None = None, fields: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.fields = fields or {}


class InvalidInputError(DomainError):
    """The caller sent something that can't be right; `fields` says where."""

    code = "invalid"


class NotFoundError(DomainError):
    """No such object for this tenant."""

    code = "not_found"


class ConflictError(DomainError):
    """The object's present state doesn't allow this."""

    code = "conflict"


class UnavailableError(DomainError):
    """Something we depend on can't answer now; trying again after `retry_after` may help."""

    code = "unavailable"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        fields: dict[str, str] | None = None,
        retry_after: timedelta,
    ) -> None:
        super().__init__(message, code=code, fields=fields)
        self.retry_after = retry_after
