"""What a server is given: the application of the peer that the environment names."""

from importlib import import_module

from ..peers import option

WITHOUT_DJANGO = ("raw_json", "raw_msgspec", "socketio")

if option("peer") not in WITHOUT_DJANGO:
    import django

    django.setup()

application = import_module(f"benchmarks.peers.{option('peer')}").application
