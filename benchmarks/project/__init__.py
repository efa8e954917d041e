"""The Django project that peers are served in."""
