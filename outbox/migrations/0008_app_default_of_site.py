"""Accounts: the default for apps has no owner. A migration of its own, after the rows were changed.

PostgreSQL alters no table whose changed rows still have pending checks of a foreign key.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("outbox", "0007_account_trust"),
    ]

    operations = [
        migrations.AddConstraint(
            model_name='account',
            constraint=models.CheckConstraint(condition=models.Q(('is_app_default', False), ('owner', None), _connector='OR'), name='outbox_account_app_default_of_site'),
        ),
    ]
