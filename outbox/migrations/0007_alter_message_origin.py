from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('outbox', '0006_widen_message_ids_and_content_types'),
    ]

    operations = [
        migrations.AlterField(
            model_name='message',
            name='origin',
            field=models.CharField(choices=[('compose', 'composed here'), ('backend', "sent by an app through Django's mail API"), ('api', 'queued by an app'), ('report', 'a report on failed messages')], default='compose', max_length=8),
        ),
    ]
