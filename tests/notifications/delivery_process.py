"""A process that sends what is due, for test_deliveries.py.

python -m tests.notifications.delivery_process CHANNEL MAIL_PORT THREADS

Says "ready", sends once it is told to by a line, and prints how many messages it has sent.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import django


def main(channel: str, mail_port: str, threads: str) -> None:
    django.setup()
    from django.conf import settings
    from django.db import connection
    from django.utils import timezone

    from apps.notifications.models import Channel
    from apps.notifications.services import sending

    settings.PRIVATE_TARGETS = True
    settings.DEFAULT_FROM_EMAIL = "alerts@huntaze.example"
    settings.MAIL_SERVER = {
        "host": "127.0.0.1",
        "port": int(mail_port),
        "username": "",
        "password": "",
        "use_tls": False,
        "use_ssl": False,
    }

    def send(_: int) -> int:
        try:
            return sending.send_due(channel=Channel(channel), clock=timezone.now)
        finally:
            connection.close()

    print("ready", flush=True)  # noqa: T201
    sys.stdin.readline()
    with ThreadPoolExecutor(int(threads)) as pool:
        print(sum(pool.map(send, range(int(threads)))))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
