from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ("outbox", "0023_alarms"),
    ]

    operations = [
        migrations.CreateModel(
            name='Operations',
            fields=[
            ],
            options={
                'verbose_name': 'operations dashboard',
                'verbose_name_plural': 'operations dashboard',
                'proxy': True,
                'default_permissions': (),
                'indexes': [],
                'constraints': [],
            },
            bases=('outbox.queuesnapshot',),
        ),
    ]
