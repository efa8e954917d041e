"""Where in the world an address is, by the GeoIP2 database of the project."""

from functools import cache
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

try:
    from django.contrib.gis.geoip2 import GeoIP2, GeoIP2Exception
    from geoip2.errors import AddressNotFoundError
    from maxminddb import InvalidDatabaseError
except ImportError as fault:
    raise ImproperlyConfigured(
        "expected the package geoip2, which looks up addresses; "
        "pip install django-socket-router[geoip]"
    ) from fault


def locate(address: str | None) -> dict[str, Any] | None:
    """What the database of cities, or else of countries, has of an address; None without it."""
    database = open_database()
    try:
        found = ip_address(address or "")  # text that is no address would be asked of the DNS
        return dict(database.city(found) if database.is_city else database.country(found))
    except (AddressNotFoundError, ValueError):  # no address, or IPv6 where all are IPv4
        return None


@cache
def open_database() -> GeoIP2:
    """The database, opened once: a newer file is read after a restart."""
    path = getattr(settings, "GEOIP_PATH", None)
    if not path:
        raise ImproperlyConfigured(
            "expected the setting GEOIP_PATH, the folder of GeoLite2-City.mmdb or "
            "GeoLite2-Country.mmdb, got none; download one of them and set it"
        )
    try:
        return GeoIP2(path)
    except (GeoIP2Exception, InvalidDatabaseError) as fault:
        raise ImproperlyConfigured(
            f"expected GEOIP_PATH to be a database of cities or countries, or the folder of "
            f"GeoLite2-City.mmdb or GeoLite2-Country.mmdb, got {str(path)!r}: {fault}"
        ) from fault


def _on_setting_changed(*, setting: str, **kwargs: object) -> None:
    if setting in ("GEOIP_PATH", "GEOIP_CITY", "GEOIP_COUNTRY"):
        open_database.cache_clear()


setting_changed.connect(_on_setting_changed, dispatch_uid="sockets.geoip")
