"""Which client a provider rejected, so that the accounts continue once it is corrected."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("outbox", "0037_oauth_permissions"),
    ]

    operations = [
        migrations.AddField(
            model_name="oauthtoken",
            name="rejected_client",
            field=models.CharField(blank=True, db_default="", default="", max_length=32),
        ),
    ]
