"""The least that the peers need; what differs between them is in the environment."""

import os

from ..peers import option

SECRET_KEY = "benchmarks keep no secrets"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
]
if option("peer") == "ours":
    INSTALLED_APPS.append("sockets")
ROOT_URLCONF = "benchmarks.peers.ours"
DATABASES = {
    "default": {
        "ENGINE": f"django.db.backends.{option('engine', 'sqlite3')}",
        "NAME": option("database", ":memory:"),
        "HOST": os.environ.get("PGHOST", "127.0.0.1"),
        "USER": os.environ.get("PGUSER", "postgres"),
        "PASSWORD": os.environ.get("PGPASSWORD", ""),
        "CONN_MAX_AGE": 60,
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

# Beneath channels_redis, redis-py 8 must neither give up after five seconds without a message
# nor stop at a hundred connections.
HOST = {"address": option("redis_url"), "socket_timeout": None, "max_connections": 1_000_000}
LAYERS = {
    "memory": {"BACKEND": "channels.layers.InMemoryChannelLayer"},
    "core": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": [HOST], "prefix": option("prefix")},
    },
    "pubsub": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [HOST], "prefix": option("prefix")},
    },
}
CHANNEL_LAYERS = {"default": LAYERS[option("layer", "memory")]}
SOCKETS = {"BROKER": option("redis_url") if option("broker") == "redis" else "default"}
