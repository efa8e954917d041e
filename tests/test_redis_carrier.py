"""Redis as a carrier: how it is named, and what it is called there."""

import subprocess
import sys

import pytest

from sockets.brokers import make_broker
from sockets.exceptions import DeclarationError
from sockets.redis_carrier import RedisCarrier

from .servers import environment


def prefix_of(url: str) -> str:
    return RedisCarrier(url)._channel("").rstrip(":")


def test_projects_that_share_a_redis_have_channels_of_their_own(settings):
    settings.SECRET_KEY = "one project"
    one, other_database = prefix_of("redis://localhost/0"), prefix_of("redis://localhost/1")
    settings.SECRET_KEY = "another project"
    another = prefix_of("redis://localhost/0")
    assert len({one, other_database, another}) == 3
    assert prefix_of("redis://127.0.0.1:6379") == another


def test_a_url_may_give_the_prefix(settings):
    carrier = RedisCarrier("redis://localhost/0?prefix=shop&client_name=page")
    assert carrier._channel("everyone") == "shop:everyone"
    assert carrier._redis.connection_pool.connection_kwargs["client_name"] == "page"


@pytest.mark.parametrize("url", ["http://user:secret@host", "redis://user:secret/word@host:x/0"])
def test_a_url_that_cannot_be_read_is_refused_without_its_password(settings, url):
    settings.SOCKETS = {"BROKER": url}
    with pytest.raises(DeclarationError, match=r"expected .* to be a URL") as caught:
        make_broker()
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_without_the_package_redis_the_extra_is_named():
    code = """
import sys
sys.modules["redis"] = sys.modules["redis.asyncio"] = None
from django.conf import settings
settings.configure(SOCKETS={"BROKER": "redis://localhost"}, SECRET_KEY="x")
from sockets.brokers import make_broker
try:
    make_broker()
except Exception as fault:
    print(type(fault).__name__, fault)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True
    )
    assert 'pip install "django-socket-router[redis]"' in done.stdout, done.stderr
    assert done.stdout.startswith("DeclarationError")
