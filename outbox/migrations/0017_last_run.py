from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("outbox", "0016_recipient_indexes"),
    ]

    operations = [
        migrations.CreateModel(
            name='LastRun',
            fields=[
                ('task', models.CharField(max_length=40, primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
            ],
        ),
    ]
