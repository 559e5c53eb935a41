"""Model fields that several apps share."""

from decimal import Decimal
from functools import cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.validators import MinValueValidator
from django.db import models
from typing_extensions import TypeVar

_Set = TypeVar("_Set", contravariant=True, default=str | Decimal)
_Get = TypeVar("_Get", covariant=True, default=Decimal)

# Ten decimals hold the price of a single token (10⁻⁷ USD) times a fraction without rounding.
MONEY_PLACES = 10


class MoneyField(models.DecimalField[_Set, _Get]):
    """An exact amount; its currency stands in a column beside it."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("max_digits", 20)
        options.setdefault("decimal_places", MONEY_PLACES)
        super().__init__(**options)


class CurrencyField(models.CharField[str, str]):
    """An ISO 4217 code."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("max_length", 3)
        options.setdefault("default", "USD")
        super().__init__(**options)


class CountField(models.IntegerField[int | str, int]):
    """How many, in a hot table: that it isn't below zero is for those who write it to see to, and for forms.

    Django's own, PositiveIntegerField, has a CHECK besides, and PostgreSQL parses and plans all CHECKs of a
    table anew in each statement that writes to it.
    """

    default_validators = [MinValueValidator(0)]


class SmallCountField(models.SmallIntegerField[int | str, int]):
    """The same, below 32,768."""

    default_validators = [MinValueValidator(0)]


@cache
def _cipher() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.ENCRYPTION_KEYS])


class EncryptedTextField(models.TextField[str, str]):
    """Text that is encrypted (Fernet: AES-128-CBC with HMAC-SHA256) before it reaches the database."""

    def get_prep_value(self, value: str | None) -> str | None:
        return None if value is None else _cipher().encrypt(str(value).encode()).decode()

    def from_db_value(self, value: str | None, expression: object, connection: object) -> str | None:
        if value is None:
            return None
        try:
            return _cipher().decrypt(value.encode()).decode()
        except InvalidToken as error:
            raise ImproperlyConfigured(
                "A secret in the database can't be decrypted: put the key that encrypted it back into "
                "HUNTAZE_ENCRYPTION_KEYS (new keys go in front, old ones stay behind)."
            ) from error
