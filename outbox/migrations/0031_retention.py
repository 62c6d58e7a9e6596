from django.core.validators import MaxValueValidator
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('outbox', '0030_groups'),
    ]

    operations = [
        migrations.AddField(
            model_name='account',
            name='content_days',
            field=models.PositiveIntegerField(blank=True, null=True, validators=[MaxValueValidator(36500)], verbose_name='days until the content is removed'),
        ),
        migrations.AddField(
            model_name='account',
            name='transcript_days',
            field=models.PositiveIntegerField(blank=True, null=True, validators=[MaxValueValidator(36500)], verbose_name='days until conversations are removed'),
        ),
        migrations.AddField(
            model_name='account',
            name='message_days',
            field=models.PositiveIntegerField(blank=True, null=True, validators=[MaxValueValidator(36500)], verbose_name='days until the message is deleted'),
        ),
        migrations.AddField(
            model_name='source',
            name='is_redacted',
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
