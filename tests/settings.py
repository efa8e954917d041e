"""Settings of the test suite; `TEST_DATABASE` is sqlite, postgresql or mariadb."""

import os
from tempfile import gettempdir

SECRET_KEY = "tests keep no secrets"
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "sockets",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
STATIC_URL = "static/"
ROOT_URLCONF = "tests.urls"
SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": ":memory:",
    # No row outlives its test: nothing waits for the disk, here or below.
    "OPTIONS": {"init_command": "PRAGMA synchronous = OFF"},
    # A file: each thread of the lanes has a connection of its own to close.
    "TEST": {"NAME": os.path.join(gettempdir(), f"test_sockets_{os.getpid()}.sqlite3")},
}
POSTGRESQL = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": os.environ.get("PGDATABASE", "postgres"),
    "USER": os.environ.get("PGUSER", "postgres"),
    "PASSWORD": os.environ.get("PGPASSWORD", ""),
    "HOST": os.environ.get("PGHOST", "127.0.0.1"),
    "PORT": os.environ.get("PGPORT", "5432"),
    "OPTIONS": {"options": "-c synchronous_commit=off"},
    "TEST": {"NAME": f"test_sockets_{os.getpid()}"},
}
MARIADB = {
    "ENGINE": "django.db.backends.mysql",
    "NAME": os.environ.get("MYSQL_DATABASE", "test"),
    "USER": os.environ.get("MYSQL_USER", "root"),
    "PASSWORD": os.environ.get("MYSQL_PASSWORD", ""),
    "HOST": os.environ.get("MYSQL_HOST", "127.0.0.1"),
    "PORT": os.environ.get("MYSQL_PORT", "3306"),
    "TEST": {"NAME": f"test_sockets_{os.getpid()}", "CHARSET": "utf8mb4"},
}
ENGINES = {"sqlite": SQLITE, "postgresql": POSTGRESQL, "mariadb": MARIADB}
DATABASES = {"default": ENGINES[os.environ.get("TEST_DATABASE", "sqlite")]}
if DATABASES["default"] is MARIADB:
    # A client in plain Python, so that no compiler is needed.
    import pymysql

    pymysql.install_as_MySQLdb()
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
USE_TZ = True
USE_I18N = True
LANGUAGES = [("en", "English"), ("de", "German"), ("fr", "French")]
