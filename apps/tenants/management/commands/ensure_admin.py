from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from apps.tenants.models import User
from huntaze import secrets

EMAIL = secrets.ADMIN_EMAIL


class Command(BaseCommand):
    help = f"Make the superuser {EMAIL}, with the generated password, unless there is a superuser."

    def handle(self, **options: Any) -> None:
        if User.objects.filter(is_superuser=True).exists():
            self.stdout.write("There is a superuser already.")
            return
        user = User.objects.filter(email=EMAIL).first() or User(email=EMAIL)
        user.is_staff = user.is_superuser = user.is_active = True
        user.set_password(secrets.load(settings.HOME).admin_password)
        user.save()
        self.stdout.write(f"Made the superuser {EMAIL}; its password is in {settings.HOME / 'secrets.json'}.")
