from django.db import migrations, models


class Migration(migrations.Migration):
    """Counts the attempts during a wait. The default of the database keeps it online-safe."""

    dependencies = [("signin", "0001_tables")]

    operations = [
        migrations.AddField(
            model_name="attemptcount",
            name="rejected",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
    ]
