from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('outbox', '0032_pauses_of_tags'),
    ]

    operations = [
        migrations.AddField(
            model_name='bulkoperation',
            name='suppressed_count',
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
    ]
