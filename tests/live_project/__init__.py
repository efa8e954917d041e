"""A Django project for tests that need a real server."""
