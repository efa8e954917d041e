"""Where in the world the client of a connection is."""

import subprocess
import sys
from ipaddress import ip_network

import pytest
from django.core.exceptions import ImproperlyConfigured
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from sockets.models import Socket

LISBON = {
    "city": {"names": {"en": "Lisbon"}},
    "continent": {"code": "EU", "names": {"en": "Europe"}},
    "country": {"iso_code": "PT", "names": {"en": "Portugal"}, "is_in_european_union": True},
    "location": {"latitude": 38.7, "longitude": -9.1, "time_zone": "Europe/Lisbon"},
}
OSLO = {
    "city": {"names": {"en": "Oslo"}},
    "country": {"iso_code": "NO", "names": {"en": "Norway"}},
}


def write(file, kind="GeoLite2-City", version=6, **places):
    """Write a database in which each network is a place."""
    writer = MMDBWriter(version, kind, ipv4_compatible=version == 6)
    for network, place in {"85.240.0.0/13": LISBON, **places}.items():
        if ip_network(network).version <= version:
            writer.insert_network(IPSet([network]), place)
    writer.to_db_file(str(file))
    return file


@pytest.fixture
def cities(tmp_path, settings):
    """The folder of a database with cities in both kinds of addresses."""
    write(tmp_path / "GeoLite2-City.mmdb", **{"2001:4600::/24": OSLO})
    settings.GEOIP_PATH = tmp_path
    return tmp_path


def place_of(address):
    return Socket(path="/", user_ip=address).geoip()


@pytest.mark.usefixtures("cities")
def test_a_row_tells_the_city_of_its_client():
    place = place_of("85.241.2.3")
    assert (place["city"], place["country_code"], place["continent_name"]) == (
        "Lisbon",
        "PT",
        "Europe",
    )
    assert (place["latitude"], place["longitude"]) == (38.7, -9.1)
    assert place["time_zone"] == "Europe/Lisbon"
    assert place["postal_code"] is None


@pytest.mark.usefixtures("cities")
def test_addresses_of_version_6_are_found_too():
    assert place_of("2001:4600:10::1")["city"] == "Oslo"


@pytest.mark.usefixtures("cities")
@pytest.mark.parametrize(
    "address", ["9.9.9.9", "2a00::1", "192.168.0.1", "127.0.0.1", "::1", "fe80::1", "", None]
)
def test_an_address_that_is_unknown_private_or_missing_is_nowhere(address):
    assert place_of(address) is None


@pytest.mark.usefixtures("cities")
def test_a_name_in_the_place_of_an_address_is_not_looked_up():
    assert place_of("localhost") is None


def test_a_database_of_countries_tells_the_country(tmp_path, settings):
    write(tmp_path / "GeoLite2-Country.mmdb", "GeoLite2-Country")
    settings.GEOIP_PATH = tmp_path
    assert place_of("85.241.2.3") == {
        "continent_code": "EU",
        "continent_name": "Europe",
        "country_code": "PT",
        "country_name": "Portugal",
        "is_in_european_union": True,
    }


def test_cities_come_before_countries(cities):
    write(cities / "GeoLite2-Country.mmdb", "GeoLite2-Country")
    assert place_of("85.241.2.3")["city"] == "Lisbon"


def test_the_path_may_be_that_of_the_file_itself(tmp_path, settings):
    settings.GEOIP_PATH = str(write(tmp_path / "places.mmdb", "DBIP-City-Lite"))
    assert place_of("85.241.2.3")["city"] == "Lisbon"


def test_a_database_without_version_6_knows_no_such_address(tmp_path, settings):
    settings.GEOIP_PATH = write(tmp_path / "GeoLite2-City.mmdb", version=4)
    assert place_of("85.241.2.3")["city"] == "Lisbon"
    assert place_of("2001:4600:10::1") is None


def test_the_database_is_opened_once(cities):
    assert place_of("85.241.2.3")["city"] == "Lisbon"
    (cities / "GeoLite2-City.mmdb").unlink()
    assert place_of("85.242.3.4")["city"] == "Lisbon"


@pytest.mark.usefixtures("cities")
def test_another_setting_is_another_database(tmp_path, settings):
    assert place_of("85.241.2.3")["city"] == "Lisbon"
    settings.GEOIP_CITY = "other.mmdb"
    write(tmp_path / "other.mmdb", **{"85.240.0.0/13": OSLO})
    assert place_of("85.241.2.3")["city"] == "Oslo"


def test_without_the_setting_it_says_what_to_set(settings):
    settings.GEOIP_PATH = None
    with pytest.raises(ImproperlyConfigured, match="expected the setting GEOIP_PATH"):
        place_of(None)


def test_a_path_that_leads_to_nothing_is_named(tmp_path, settings):
    settings.GEOIP_PATH = tmp_path / "nowhere"
    with pytest.raises(ImproperlyConfigured, match=r"expected GEOIP_PATH to be .*nowhere"):
        place_of("85.241.2.3")


@pytest.mark.parametrize("content", [b"", b"no database"])
def test_a_file_that_is_no_database_is_named(content, tmp_path, settings):
    settings.GEOIP_PATH = file = tmp_path / "broken.mmdb"
    file.write_bytes(content)
    with pytest.raises(ImproperlyConfigured, match=r"expected GEOIP_PATH to be .*broken.mmdb"):
        place_of("85.241.2.3")


def test_a_database_of_other_things_is_named(tmp_path, settings):
    settings.GEOIP_PATH = write(tmp_path / "networks.mmdb", "GeoLite2-ASN")
    with pytest.raises(ImproperlyConfigured, match=r"networks.mmdb.*GeoLite2-ASN"):
        place_of("85.241.2.3")


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "geoip2.errors", None)
    monkeypatch.delitem(sys.modules, "sockets.geoip", raising=False)
    with pytest.raises(ImproperlyConfigured, match=r"pip install django-socket-router\[geoip\]"):
        place_of("85.241.2.3")


def test_nothing_of_the_extra_is_imported_until_it_is_asked_for():
    code = """if True:
        import sys, django
        django.setup()
        import sockets.asgi, sockets.models
        print("geoip2" in sys.modules)
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
