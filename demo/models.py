"""Tables at which four in a row is played, and what is said there."""

from contextlib import contextmanager

from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import models, transaction
from django.dispatch import receiver
from django.urls import reverse

from sockets import groups
from sockets.models import Socket
from sockets.signals import connections_lost

from .game import COLUMNS, ROWS, colour_of, find_line


def seat():
    user = settings.AUTH_USER_MODEL
    return models.ForeignKey(user, models.SET_NULL, null=True, blank=True, related_name="+")


class Table(models.Model):
    name = models.CharField(max_length=30, unique=True)
    red = seat()
    yellow = seat()
    moves = models.CharField(max_length=COLUMNS * ROWS, blank=True)
    version = models.PositiveIntegerField(default=0)

    def __str__(self):
        return self.name

    def get_absolute_url(self):
        return reverse("table", args=[self.pk])

    @property
    def turn(self):
        """The colour to move; None when the game is over."""
        over = find_line(self.moves) or len(self.moves) == COLUMNS * ROWS
        return None if over else colour_of(len(self.moves))

    def drop(self, user, column):
        """Let a disc of the user's fall into a column, counted from 1."""
        self.check_plays(user)
        if self.turn is None:
            raise ValidationError("This game is over. Play again?")
        if user != (player := getattr(self, self.turn)):
            raise ValidationError(f"Wait for {player or self.turn} to move.")
        if not 1 <= column <= COLUMNS:
            raise ValidationError(f"There is no column {column}; choose from 1 to {COLUMNS}.")
        if self.moves.count(str(column)) == ROWS:
            raise ValidationError(f"Column {column} is full.")
        self.moves += str(column)

    def play_again(self, user):
        """Begin a new game, with the colours changed."""
        self.check_plays(user)
        if self.turn is not None:
            raise ValidationError("This game is not over yet.")
        self.red, self.yellow, self.moves = self.yellow, self.red, ""

    def check_plays(self, user):
        if user not in (self.red, self.yellow):
            raise PermissionDenied("You only watch this table. Take a seat that is free.")

    def sockets(self):
        """The connections of those who have this table's page open."""
        return Socket.objects.online().filter(path=self.get_absolute_url())

    def state(self):
        """All that a page shows of the table."""
        names = list(self.sockets().order_by("created").values_list("user__username", flat=True))
        return {
            "id": self.pk,
            "version": self.version,
            "name": self.name,
            "url": self.get_absolute_url(),
            "red": self.red and self.red.username,
            "yellow": self.yellow and self.yellow.username,
            "moves": self.moves,
            "turn": self.turn,
            "line": find_line(self.moves),
            "people": list(dict.fromkeys(name for name in names if name)),
            "visitors": names.count(None),
        }

    def sit(self, user, colour):
        """Take a seat that is free, or whose player has gone."""
        sitting = getattr(self, colour)
        if sitting not in (None, user) and self.sockets().filter(user=sitting).exists():
            raise PermissionDenied(f"{sitting} plays {colour} here.")
        setattr(self, colour, user)


@contextmanager
def changing(pk):
    """A table that nobody else changes meanwhile; then all who look at it are shown it."""
    with transaction.atomic():
        table = Table.objects.select_for_update().get(pk=pk)
        yield table
        table.version += 1
        table.save()
        for group in (f"table {pk}", "board"):
            groups.send_action(group, "TABLE", **table.state())


def show(pk):
    """Show a table as it is now, with who is here, to all who look at it."""
    with changing(pk):
        pass


class Line(models.Model):
    """What somebody said at a table."""

    table = models.ForeignKey(Table, models.CASCADE, related_name="lines")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    text = models.CharField(max_length=200)

    def __str__(self):
        return f"{self.author}: {self.text}"

    def state(self):
        return {"id": self.pk, "author": self.author.username, "text": self.text}


@receiver(connections_lost)
def show_who_is_left(rows, **kwargs):
    """Show the tables of those whose server died, and who have not come back."""
    paths = {row.path for row in rows}
    for table in Table.objects.all():
        if table.get_absolute_url() in paths:
            show(table.pk)
