"""What a stack consists of here: which services and processes, on which ports, in what environment."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from huntaze import embedded, ports, processes, secrets
from huntaze.places import Home


@dataclass(frozen=True)
class Plan:
    home: Home
    urls: embedded.ServiceUrls
    processes: tuple[processes.Process, ...]
    environment: dict[str, str]
    base_url: str
    flower_url: str
    # The stand-ins' own addresses; empty where the real ones are used.
    ai_url: str
    gateway_url: str
    # Said aloud at the start: a port that isn't the usual one.
    notes: tuple[str, ...]

    @property
    def embeds_postgres(self) -> bool:
        return any(one.name == "postgres" for one in self.processes)


@contextlib.contextmanager
def planned(home: Home, given: Mapping[str, str]) -> Iterator[Plan]:
    """Decide, and keep the ports until the end. `given` is the environment. Raises StartError."""
    host = given.get("HUNTAZE_BIND") or "127.0.0.1"
    urls = embedded.urls(home.path)
    own = secrets.load(home.path)
    services: list[processes.Process] = []
    # A name that is set but empty counts as not set, here and in our processes.
    environment = {name: value for name, value in given.items() if value or name not in _OURS}
    if "DATABASE_URL" not in environment:
        environment |= {"DATABASE_URL": urls.database, "DATABASE_OWNER_URL": urls.owner}
        services.append(processes.postgres(home, urls))
    if "REDIS_URL" not in environment:
        environment["REDIS_URL"] = urls.redis
        services.append(processes.redis(home, urls))
    environment.setdefault("CELERY_BROKER_URL", embedded.broker_url(environment["REDIS_URL"]))
    with contextlib.ExitStack() as stack:
        taken: dict[str, int] = {}

        def port(variable: str, default: int, on: str = "127.0.0.1") -> int:
            number = stack.enter_context(ports.reserved(variable, default, environment=environment, host=on))
            environment[variable] = str(number)
            if number != default and variable not in given:
                taken[variable] = default
            return number

        ai_url = gateway_url = ""
        if not {"OPENAI_API_KEY", "AZURE_OPENAI_API_KEY"} & environment.keys():
            number = port("SANDBOX_AI_PORT", 8100)
            ai_url = f"http://127.0.0.1:{number}"
            environment |= {"OPENAI_BASE_URL": f"{ai_url}/openai/v1", "OPENAI_API_KEY": "sandbox"}
            environment |= {"AZURE_OPENAI_ENDPOINT": f"{ai_url}/azure", "AZURE_OPENAI_API_KEY": "sandbox"}
            environment.setdefault("AZURE_OPENAI_DEPLOYMENT", "gpt-4o")
            services.append(processes.sandbox("ai", number, home.path / "sandbox-ai"))
        if "ONLYFANS_API_URL" not in environment:
            number = port("SANDBOX_GATEWAY_PORT", 8200)
            gateway_url = f"http://127.0.0.1:{number}"
            environment["ONLYFANS_API_URL"] = f"{gateway_url}/gateway"
            services.append(processes.sandbox("gateway", number, home.path / "sandbox-gateway"))
        web, flower = port("PORT", 8000, on=host), port("FLOWER_PORT", 5555)
        environment |= {
            "HUNTAZE_HOME": str(home.path),
            "HUNTAZE_READY_DIR": str(processes.ready_folder(home)),
            "PROMETHEUS_MULTIPROC_DIR": str(home.run / "metrics"),
            "FLOWER_BASIC_AUTH": environment.get("FLOWER_BASIC_AUTH") or f"admin:{own.flower_password}",
            # As root everything here is root's; Celery need not say so once per worker.
            "PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges",
            # A pipe would otherwise hold back what is logged.
            "PYTHONUNBUFFERED": "1",
        }
        yield Plan(
            home=home,
            urls=urls,
            processes=(
                *services,
                processes.web(home, host, web),
                *(processes.worker(home, queue, threads) for queue, threads in processes.WORKERS.items()),
                processes.beat(home),
                processes.flower(flower),
            ),
            environment=environment,
            base_url=f"http://{_reachable(host)}:{web}",
            flower_url=f"http://127.0.0.1:{flower}",
            ai_url=ai_url,
            gateway_url=gateway_url,
            notes=tuple(
                f"port {usual} is taken: {name} is {environment[name]}" for name, usual in taken.items()
            ),
        )


_OURS = {
    *("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "CACHE_REDIS_URL", "CELERY_BROKER_URL"),
    *("OPENAI_API_KEY", "OPENAI_BASE_URL", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT"),
    *("AZURE_OPENAI_DEPLOYMENT", "ONLYFANS_API_URL", "PORT", "FLOWER_PORT", "HUNTAZE_BIND"),
    *("SANDBOX_AI_PORT", "SANDBOX_GATEWAY_PORT"),
}


def _reachable(host: str) -> str:
    """An address to type: 0.0.0.0 and :: are where to listen, not where to go."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 -- compared, not listened on
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
