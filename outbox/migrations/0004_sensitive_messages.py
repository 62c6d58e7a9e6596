from django.db import migrations, models


class Migration(migrations.Migration):
    """Sensitive messages. No table is rewritten: the columns have constant defaults."""

    dependencies = [("outbox", "0003_labels")]

    operations = [
        migrations.AddField(
            model_name="message",
            name="is_sensitive",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="source",
            name="erase_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.CreateModel(
            name="DiscardedFile",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=255)),
                ("due_at", models.DateTimeField()),
            ],
            options={
                "indexes": [models.Index(fields=["due_at"], name="outbox_discarded_due")],
            },
        ),
    ]
