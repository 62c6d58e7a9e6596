import django.db.models.deletion
from django.db import migrations, models

import outbox.models.reasons
from outbox.migrations._operations import OneTable


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("outbox", "0007_sum_of_received"),
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
            ], max_length=20, verbose_name="kind"),
        ),
        OneTable(
            migrations.AddField(
                model_name="account",
                name="route",
                field=models.CharField(
                    choices=[
                        ("smarthost", "By the server of the account"),
                        ("direct", "Directly, to the mail servers of the recipients"),
                    ],
                    db_default="smarthost",
                    default="smarthost",
                    help_text="Direct delivery needs an IP address with a PTR record and port 25. "
                    "Without them, other servers reject the messages.",
                    max_length=10,
                    verbose_name="delivery",
                ),
            ),
            # It changes what Django checks, and no table.
            migrations.AlterField(
                model_name="account",
                name="host",
                field=models.CharField(blank=True, max_length=255, verbose_name="server"),
            ),
            migrations.AddConstraint(
                model_name="account",
                constraint=models.CheckConstraint(
                    condition=~models.Q(route="direct") | models.Q(owner=None),
                    name="outbox_account_direct_of_site",
                ),
            ),
        ),
        OneTable(
            migrations.AddField(
                model_name="destination",
                name="mx_hosts",
                field=models.TextField(blank=True, db_default="", default="", editable=False),
            ),
            migrations.AddField(
                model_name="destination",
                name="limit_effect",
                field=models.CharField(
                    blank=True, db_default="", default="", editable=False, max_length=10
                ),
            ),
            migrations.AddField(
                model_name="destination",
                name="limit_until",
                field=models.DateTimeField(blank=True, editable=False, null=True),
            ),
            migrations.AddField(
                model_name="destination",
                name="limit_reason",
                field=outbox.models.reasons.ReasonField(db_default="", editable=False),
            ),
            migrations.AddField(
                model_name="destination",
                name="rule_hits",
                field=models.TextField(blank=True, db_default="", default="", editable=False),
            ),
        ),
        OneTable(
            migrations.AddField(
                model_name="smtpsession",
                name="tls_requested",
                field=models.CharField(blank=True, db_default="", default="", max_length=16),
            ),
            migrations.AddField(
                model_name="smtpsession",
                name="tls_policy",
                field=outbox.models.reasons.ReasonField(db_default=""),
            ),
            migrations.AddField(
                model_name="smtpsession",
                name="tls_achieved",
                field=models.CharField(blank=True, db_default="", default="", max_length=16),
            ),
            migrations.AddField(
                model_name="smtpsession",
                name="tls_why",
                field=outbox.models.reasons.ReasonField(db_default=""),
            ),
        ),
        OneTable(
            migrations.CreateModel(
                name="DomainSite",
                fields=[
                    ("id", models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    )),
                    ("domain", models.CharField(max_length=255)),
                    ("seen_at", models.DateTimeField()),
                    ("account", models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+",
                        to="outbox.account",
                    )),
                    ("destination", models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+",
                        to="outbox.destination",
                    )),
                ],
                options={
                    "indexes": [models.Index(fields=["seen_at"], name="outbox_domainsite_seen")],
                    "constraints": [models.UniqueConstraint(
                        fields=["account", "domain"], name="outbox_domainsite_one"
                    )],
                },
            ),
        ),
    ]
