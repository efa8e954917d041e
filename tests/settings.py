"""Settings of the test suite. `TEST_DATABASE=postgresql` runs it on PostgreSQL."""

import os
from tempfile import gettempdir

SECRET_KEY = "tests keep no secrets"
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "sockets",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "tests.urls"
SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": ":memory:",
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
    "TEST": {"NAME": f"test_sockets_{os.getpid()}"},
}
DATABASES = {
    "default": POSTGRESQL if os.environ.get("TEST_DATABASE") == "postgresql" else SQLITE,
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
USE_TZ = True
USE_I18N = True
LANGUAGES = [("en", "English"), ("de", "German"), ("fr", "French")]
