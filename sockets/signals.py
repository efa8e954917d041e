"""What happened to connections, told by Django's signals."""

from django.dispatch import Signal

connections_lost = Signal()
"""The processes of some connections died, and their rows were deleted. No disconnect hook ran.

Told once, in whichever process deleted them, after the commit; `rows` are the `Socket`s. What a
receiver raises is logged.
"""
