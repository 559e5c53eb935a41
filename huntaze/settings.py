"""The only settings file. Everything that differs between machines comes from the environment.

With nothing set, the embedded PostgreSQL and Redis of this clone are used (`huntaze.embedded`), and the
secrets made at first start (`huntaze.secrets`). The README has the table of names.
"""

import logging
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import django_stubs_ext
import structlog
from environs import Env, ValidationError
from psycopg.conninfo import conninfo_to_dict

from huntaze import embedded, mail, secrets

django_stubs_ext.monkeypatch()

env = Env()

BASE_DIR = Path(__file__).resolve().parent.parent
HOME = Path(env.str("HUNTAZE_HOME", default=str(BASE_DIR / "var"))).absolute()

# --- Security -----------------------------------------------------------------------------------------
_secrets = secrets.load(HOME)
SECRET_KEY = env.str("HUNTAZE_SECRET_KEY", default=_secrets.secret_key)
# Fernet keys, the first encrypts, all decrypt: rotate by putting a new one in front.
ENCRYPTION_KEYS: list[str] = env.list("HUNTAZE_ENCRYPTION_KEYS", default=[_secrets.encryption_key])
DEBUG = env.bool("HUNTAZE_DEBUG", default=False)
ALLOWED_HOSTS: list[str] = env.list("HUNTAZE_ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("HUNTAZE_CSRF_TRUSTED_ORIGINS", default=[])
HTTPS = env.bool("HUNTAZE_HTTPS", default=False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_AGE = int(timedelta(hours=12).total_seconds())
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_HSTS_SECONDS = int(timedelta(days=365).total_seconds()) if HTTPS else 0
X_FRAME_OPTIONS = "DENY"
AUTH_USER_MODEL = "tenants.User"
LOGIN_URL, LOGIN_REDIRECT_URL = "admin:login", "admin:index"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

# --- Applications -------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "huntaze.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_filters",
    "django_prometheus",
    "django_structlog",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "apps.common",
    "apps.tenants",
    "apps.flags",
    "apps.notifications",
    "apps.operations",
    "apps.costs",
    "apps.ai",
    "apps.messaging",
    "apps.content",
    "apps.campaigns",
    "apps.analytics",
]
MIDDLEWARE = [
    "apps.operations.middleware.RequestMetrics",
    "apps.operations.middleware.RequestSpans",
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
ROOT_URLCONF = "huntaze.urls"
WSGI_APPLICATION = "huntaze.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "/static/"
STATIC_ROOT = HOME / "static"
LANGUAGE_CODE = "en"
USE_I18N = False
TIME_ZONE = "UTC"
FORMAT_MODULE_PATH = "huntaze.formats"
USE_TZ = True

# --- Data ---------------------------------------------------------------------------------------------
_embedded = embedded.urls(HOME)
PROCESS_NAME = env.str("SUPERVISOR_PROCESS_NAME", default="huntaze")
DATABASE_URL = env.str("DATABASE_URL", default=_embedded.database)
DATABASE_OWNER_URL = env.str("DATABASE_OWNER_URL", default=_embedded.owner)
REDIS_URL = env.str("REDIS_URL", default=_embedded.redis)
CACHE_REDIS_URL = env.str("CACHE_REDIS_URL", default=REDIS_URL)
# Then an answer is looked for, or a flight joined, in one round trip.
CACHE_IS_REDIS = embedded.same_database(REDIS_URL, CACHE_REDIS_URL)


# A machine that is cut off says nothing: within seconds its connections count as dead, on both sides.
_alive: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


def _database(url: str, **options: Any) -> dict[str, Any]:
    parts: dict[str, Any] = conninfo_to_dict(url)
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    django = {names[key]: str(value) for key, value in parts.items() if key in names}
    rest = {key: value for key, value in parts.items() if key not in names}
    # Connections are pooled per process and given back whenever we wait on the network, so that
    # thousands of waiting calls need few of them.
    return {
        "ENGINE": "django.db.backends.postgresql",
        "ATOMIC_REQUESTS": False,
        "CONN_MAX_AGE": 0,
        **django,
        # The process's name is what a database administrator sees in pg_stat_activity.
        # Django's cursors prepare nothing; whoever makes another one wants it at once (tenants/doors.py).
        "OPTIONS": {
            "application_name": PROCESS_NAME,
            "prepare_threshold": 0,
            **_alive,
            **rest,
            **options,
        },
    }


# No transaction waits for anything but PostgreSQL for longer than the limiter's 250 ms. One that does has
# lost its machine, and its locks would keep others from their accounts and from a new epoch of the limiter.
_limits = (
    "-c lock_timeout=5s -c statement_timeout=30s -c idle_in_transaction_session_timeout=10s"
    " -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 -c tcp_user_timeout=10s"
)
DATABASES = {
    # The application's role: every row it sees is let through by a policy (apps/tenants/doors.py).
    "default": _database(
        DATABASE_URL,
        options=_limits,
        pool={"min_size": 0, "max_size": env.int("HUNTAZE_DB_POOL", default=12), "timeout": 10},
    ),
    # The owner's role, for migrations alone.
    "owner": _database(DATABASE_OWNER_URL),
}

# --- API ----------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["apps.tenants.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["apps.tenants.permissions.IsMember"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["apps.common.api.parsers.StrictJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "apps.common.api.pagination.CursorPagination",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_METADATA_CLASS": None,
    # Views that answer in several formats read the parameter themselves.
    "URL_FORMAT_OVERRIDE": None,
    "EXCEPTION_HANDLER": "apps.common.api.errors.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Huntaze",
    "DESCRIPTION": "Plan, write and send campaigns under platform limits, and account for every cent.",
    "VERSION": "2",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    # Requests and answers have serializers of their own.
    "COMPONENT_SPLIT_REQUEST": False,
    "COMPONENT_SPLIT_PATCH": False,
    "SCHEMA_PATH_PREFIX": "/api(/v2)?",
    "ENUM_NAME_OVERRIDES": {
        "CampaignStatus": "apps.campaigns.models.CampaignStatus",
        "StepStatus": "apps.campaigns.models.StepStatus",
        "GenerationState": "apps.ai.models.GenerationState",
        "BudgetMode": "apps.costs.models.BudgetMode",
        "BudgetProvider": "apps.costs.price_list.PROVIDERS",
        "AlertLevel": "apps.notifications.models.Level",
        "AnalysisState": "apps.ai.models.AnalysisState",
        "RecommendationKind": "apps.ai.models.RecommendationKind",
        "RecommendationStatus": "apps.ai.models.Status",
        "RevenueKind": "apps.analytics.models.RevenueKind",
        "ReplayState": "apps.ai.models.ReplayState",
        "TaskKind": "apps.ai.models.TaskKind",
        "MessageState": "apps.messaging.models.MessageState",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "apps.common.api.schema.document_errors",
    ],
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 2**20

# --- Celery (read by huntaze/celery.py) -----------------------------------------------------------------
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default=embedded.broker_url(REDIS_URL))
# Then nothing can be sent while it is away, and dispatch waits for it.
REDIS_IS_BROKER = embedded.same_server(REDIS_URL, CELERY_BROKER_URL)
# How often to look for what a lost hint or a dead process has left behind.
SWEEP_INTERVAL = env.timedelta("HUNTAZE_SWEEP_SECONDS", default=timedelta(seconds=15))


# --- AI providers ---------------------------------------------------------------------------------------
def _key(name: str) -> str:
    """A key that goes into a header; files that they are read from mostly end with a new line."""

    def check(value: str) -> None:
        if not (value.strip().isascii() and value.strip().isprintable()):
            raise ValidationError("It has characters that no HTTP header may have.")

    return env.str(name, default="", validate=check).strip()


AZURE_OPENAI_API_KEY = _key("AZURE_OPENAI_API_KEY")
AZURE_OPENAI_ENDPOINT = env.str("AZURE_OPENAI_ENDPOINT", default="")
AZURE_OPENAI_DEPLOYMENT = env.str("AZURE_OPENAI_DEPLOYMENT", default="gpt-4o")
AZURE_OPENAI_API_VERSION = env.str("AZURE_OPENAI_API_VERSION", default="2024-10-21")
OPENAI_API_KEY = _key("OPENAI_API_KEY")
OPENAI_ORG_ID = _key("OPENAI_ORG_ID")
OPENAI_BASE_URL = env.str("OPENAI_BASE_URL", default="https://api.openai.com/v1")
OPENAI_MODEL = env.str("OPENAI_MODEL", default="gpt-3.5-turbo")
# How many answers one process streams at a time.
AI_STREAMS = env.int("HUNTAZE_AI_STREAMS", default=64)
AI_ATTEMPT_TIMEOUT = env.timedelta("HUNTAZE_AI_ATTEMPT_TIMEOUT", default=timedelta(seconds=60))
# How much of Redis the cached answers of one tenant may take; 0: none are kept.
AI_CACHE_BYTES = env.int("HUNTAZE_AI_CACHE_BYTES", default=16 * 2**20)
# Optimisation: how many of a tenant's questions are looked at, what is worth recommending (a month, in the
# ledger's currency), and what verifying a recommendation may cost at most.
OPTIMISATION_GENERATIONS = env.int("HUNTAZE_OPTIMISATION_GENERATIONS", default=20_000)
OPTIMISATION_LEAST_SAVING = env.decimal("HUNTAZE_OPTIMISATION_LEAST_SAVING", default=Decimal("0.01"))
REPLAY_MAX_COST = env.decimal("HUNTAZE_REPLAY_MAX_COST", default=Decimal(1))

# How long a deployment's breaker stays open the first time, and the seconds in which it counts calls.
BREAKER_RECOVERY = env.timedelta("HUNTAZE_BREAKER_RECOVERY_SECONDS", default=timedelta(seconds=60))
BREAKER_WINDOW = timedelta(seconds=30)

# --- Messaging ------------------------------------------------------------------------------------------
ONLYFANS_API_URL = env.str("ONLYFANS_API_URL", default="")
ONLYFANS_USER_AGENT = env.str("ONLYFANS_USER_AGENT", default="Huntaze/2")
# The default limits of an account and of one recipient within it.
SEND_LIMIT_COUNT = env.int("HUNTAZE_SEND_LIMIT_COUNT", default=10)
SEND_LIMIT_SECONDS = env.int("HUNTAZE_SEND_LIMIT_SECONDS", default=60)

# --- Notifications ----------------------------------------------------------------------------------------
# None: mail goes to files.
MAIL_SERVER = mail.server(env.str("EMAIL_URL", default=""))
MAIL_FOLDER = HOME / "mail"
DEFAULT_FROM_EMAIL = env.str("SES_FROM_EMAIL", default="") or "huntaze@localhost"
# Who hears of alerts where a tenant, or the platform, has no targets of that channel.
COST_ALERT_EMAIL = mail.addresses(env.str("COST_ALERT_EMAIL", default=""))
SLACK_WEBHOOK_URL = env.str("SLACK_WEBHOOK_URL", default="")
# Whether webhooks may lead into private networks.
PRIVATE_TARGETS = env.bool("HUNTAZE_PRIVATE_TARGETS", default=False)
# What a tenant may spend on a day, in the ledger's currency, before it alerts.
DAILY_COST_ALERT = env.decimal("HUNTAZE_DAILY_COST_ALERT", default=Decimal(50))
# An hour alerts that is dearer than the same one of past weeks usually was: by so many spreads and so much.
SPIKE_DEVIATIONS = env.decimal("HUNTAZE_SPIKE_DEVIATIONS", default=Decimal(5))
SPIKE_AMOUNT = env.decimal("HUNTAZE_SPIKE_AMOUNT", default=Decimal(5))


def _months_to_keep(months: int) -> None:
    if months != 0 and not 2 <= months <= 1200:
        raise ValidationError("Give 0, to keep all, or 2 to 1200 months.")


# How many months of the ledger are kept before the present one; 0: all.
LEDGER_RETENTION = env.int("HUNTAZE_LEDGER_RETENTION", default=36, validate=_months_to_keep)

# --- Observation --------------------------------------------------------------------------------------------
PROMETHEUS_EXPORT_MIGRATIONS = False
DJANGO_STRUCTLOG_CELERY_DEFAULT_LOG_LEVEL = logging.DEBUG
# A request has one line, when its answer is ready; a stream has another at its end. Who sent it is said by
# apps/operations/request_log.py, since finding that out from every header there is takes as long as
# authenticating them.
DJANGO_STRUCTLOG_STATUS_START_LOG_LEVEL = logging.DEBUG
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False
METRICS_TOKEN = env.str("HUNTAZE_METRICS_TOKEN", default="")
LOG_LEVEL = env.log_level("HUNTAZE_LOG_LEVEL", default=logging.INFO)
_shared_processors: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        *_shared_processors,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer()
                if env.bool("HUNTAZE_LOG_JSON", default=False)
                else structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
            ],
            "foreign_pre_chain": _shared_processors,
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    # What Celery says of every task, and of every tick once a second, would bury the rest.
    "loggers": {
        "django.request": {"level": "ERROR"},
        "httpx2": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        # By itself it warns whatever the level is.
        "psycopg": {"level": max(LOG_LEVEL, logging.WARNING)},
    },
}

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Huntaze",
    "SITE_HEADER": "Huntaze",
    "SITE_SUBHEADER": "Operations",
    "SITE_SYMBOL": "bolt",
    "SITE_URL": None,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": f"{STATIC_URL}huntaze/icon.svg"}],
    "STYLES": [f"{STATIC_URL}huntaze/admin.css"],
    "SHOW_BACK_BUTTON": True,
    "DASHBOARD_CALLBACK": "apps.analytics.dashboard.dashboard",
    "SIDEBAR": {"show_search": True, "navigation": "huntaze.sidebar.navigation"},
}
