from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("outbox", "0012_labels"),
    ]

    operations = [
        # It changes what Django offers, and no table.
        migrations.AlterField(
            model_name="alarm",
            name="kind",
            field=models.CharField(choices=[
                ("no_worker", "no worker"), ("no_sweep", "no sweep"), ("no_beat", "no Celery beat"),
                ("oldest_due", "overdue messages"), ("account_blocked", "account needs attention"),
                ("server_down", "server unavailable"),
                ("sites_down", "mail servers of recipients unavailable"),
                ("failure_rate", "many failures"), ("uncertain", "uncertain recipients"),
                ("clock_skew", "wrong clock"), ("disk_space", "disk space"),
                ("storage", "storage unavailable"), ("sender_domain", "DNS of a sender domain"),
                ("tls_reports", "TLS reports not accepted"),
            ], max_length=20, verbose_name="kind"),
        ),
        migrations.AddField(
            model_name="tlscount",
            name="post_failure",
            field=models.CharField(blank=True, db_default="", default="", max_length=300),
        ),
    ]
