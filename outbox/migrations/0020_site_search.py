import django.db.models.deletion
import outbox.models.terms
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("outbox", "0019_composed_index")]

    operations = [
        migrations.CreateModel(
            name="SiteEntry",
            fields=[
                (
                    "message",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="site_entry",
                        serialize=False,
                        to="outbox.message",
                    ),
                ),
                ("listed_at", models.DateTimeField()),
                ("terms", outbox.models.terms.TermsField()),
            ],
            options={
                "indexes": [
                    outbox.models.terms.TermsIndex(fields=["terms"], name="outbox_site_terms")
                ],
            },
        ),
    ]
