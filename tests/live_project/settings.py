"""Settings of the servers under test, as the environment has them.

`LIVE_DATABASE` is what the servers share: a SQLite file, or `postgresql:` and the name of a
database. `LIVE_CARRIER` is a channel layer in the Redis at `LIVE_REDIS`, `core` or `pubsub`, or
`redis` for that Redis without one, with keys and channels that begin with `LIVE_PREFIX`; without it
there is none. `LIVE_LEASE` is `SOCKETS["LEASE"]`.
"""

import os

from tests.settings import POSTGRESQL, SQLITE

SECRET_KEY = "tests keep no secrets"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = [
    "daphne",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "sockets",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "tests.live_project.urls"
ASGI_APPLICATION = "tests.live_project.asgi.application"
_, on_postgresql, name = os.environ["LIVE_DATABASE"].rpartition("postgresql:")
DATABASES = {
    # Kept, as projects do that are asked often: a crowd after a pause waits for no new ones.
    "default": {**POSTGRESQL, "NAME": name, "CONN_MAX_AGE": 60}
    if on_postgresql
    else {**SQLITE, "NAME": name}
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
LAYERS = {
    "core": "channels_redis.core.RedisChannelLayer",
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
}
SOCKETS = {"LEASE": float(os.environ.get("LIVE_LEASE", 15))}
if (carrier := os.environ.get("LIVE_CARRIER")) in LAYERS:
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": LAYERS[carrier],
            "CONFIG": {"hosts": [os.environ["LIVE_REDIS"]], "prefix": os.environ["LIVE_PREFIX"]},
        }
    }
elif carrier:
    SOCKETS["BROKER"] = f"{os.environ['LIVE_REDIS']}?prefix={os.environ['LIVE_PREFIX']}"
