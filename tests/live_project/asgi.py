"""What an ASGI server is given."""

import os

from sockets.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.live_project.settings")

application = get_asgi_application()
