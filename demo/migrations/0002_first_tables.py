from django.contrib.auth.hashers import make_password
from django.db import migrations

TABLES = [  # name, red, yellow, moves
    ("The harbour", "Ada", "Grace", "4434553626"),
    ("The attic", None, None, ""),
    ("The garden", "Alan", "Ada", "5446342463543"),
]
LINES = [
    ("The harbour", "Grace", "You built that row before my eyes!"),
    ("The garden", "Alan", "Tea is ready. One more move?"),
    ("The garden", "Ada", "One more move."),
]


def set_tables(apps, schema_editor):
    users = apps.get_model("auth", "User").objects
    tables = apps.get_model("demo", "Table").objects
    guests = {
        name: users.get_or_create(username=name, defaults={"password": make_password(None)})[0]
        for name in ("Ada", "Alan", "Grace")
    }
    for name, red, yellow, moves in TABLES:
        tables.create(name=name, red=guests.get(red), yellow=guests.get(yellow), moves=moves)
    for name, author, text in LINES:
        tables.get(name=name).lines.create(author=guests[author], text=text)


class Migration(migrations.Migration):
    dependencies = [("demo", "0001_initial")]
    operations = [migrations.RunPython(set_tables, migrations.RunPython.noop)]
