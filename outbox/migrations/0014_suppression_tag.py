from django.db import migrations, models


class Migration(migrations.Migration):
    """A column with a default, which rewrites no rows on PostgreSQL, and a unique index."""

    dependencies = [
        ("outbox", "0013_tls_report_failures"),
    ]

    operations = [
        migrations.AddField(
            model_name="suppression",
            name="tag",
            field=models.CharField(
                blank=True, db_default="", default="", max_length=100, verbose_name="tag"
            ),
        ),
        # The new index first: at each moment, one of them excludes a second entry.
        migrations.AddConstraint(
            model_name="suppression",
            constraint=models.UniqueConstraint(
                fields=["account", "folded", "tag"],
                condition=models.Q(account__isnull=False),
                name="outbox_suppression_tag",
            ),
        ),
        migrations.RemoveConstraint(
            model_name="suppression", name="outbox_suppression_account",
        ),
    ]
