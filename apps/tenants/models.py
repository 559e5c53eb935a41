from typing import ClassVar
from zoneinfo import available_timezones

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from apps.common.fields import CurrencyField
from apps.common.models import BaseModel, is_one_of


def validate_time_zone(value: str) -> None:
    # Where the system has it, “localtime” is whatever this machine is set to, and PostgreSQL doesn't know it.
    if value not in available_timezones() - {"localtime"}:
        raise ValidationError(f"“{value}” is not a time zone; use an IANA name such as Europe/Paris.")


class Tenant(BaseModel):
    """An agency. Everything but users, prices and the schedule belongs to one."""

    name = models.CharField(max_length=200)
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    currency = CurrencyField(help_text="In which amounts are shown.")
    paused_at = models.DateTimeField(null=True, blank=True, help_text="While set, nothing is sent.")

    class Meta:
        ordering = ["name"]
        constraints = [models.CheckConstraint(condition=~Q(name=""), name="tenant_has_a_name")]

    def __str__(self) -> str:
        return self.name


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: object) -> "User":
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.full_clean(exclude=["password"])
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: object) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email__iexact=username)


class User(AbstractBaseUser, PermissionsMixin, BaseModel):
    """A person, who signs in by e-mail and may be a member of several tenants."""

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=200, blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False, help_text="May use this admin.")

    USERNAME_FIELD = "email"
    objects: ClassVar[UserManager] = UserManager()

    class Meta:
        ordering = ["email"]
        constraints = [
            models.UniqueConstraint(
                Lower("email"), name="user_email_unique", violation_error_message="This e-mail is in use."
            )
        ]

    def __str__(self) -> str:
        return self.email


class Role(models.TextChoices):
    """What a member or a key may do, most powerful first."""

    OWNER = "owner"
    MANAGER = "manager"
    CREATOR = "creator"
    ANALYST = "analyst"


class Membership(BaseModel):
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role, default=Role.ANALYST)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "user"], name="membership_unique"),
            is_one_of("role", Role, table="membership"),
        ]

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"


class ApiKey(BaseModel):
    """A key of the API. Only its hash is kept; `prefix` lets a person recognise it."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=200, blank=True)
    prefix = models.CharField(max_length=16, editable=False)
    key_hash = models.CharField(max_length=64, unique=True, editable=False)
    role = models.CharField(max_length=16, choices=Role, default=Role.MANAGER)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "API key"
        ordering = ["-id"]
        constraints = [is_one_of("role", Role, table="apikey")]

    def __str__(self) -> str:
        return f"{self.prefix}…"
