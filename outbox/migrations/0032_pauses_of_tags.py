from django.db import migrations, models


class Migration(migrations.Migration):
    # The table has a row for each pause, so that its constraint is checked at once.

    dependencies = [
        ('outbox', '0031_retention'),
    ]

    operations = [
        migrations.AddField(
            model_name='pause',
            name='tag',
            field=models.TextField(blank=True, db_default='', default='', verbose_name='tag'),
        ),
        migrations.AddField(
            model_name='pause',
            name='is_returning',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AlterField(
            model_name='pause',
            name='scope',
            field=models.CharField(choices=[('everything', 'everything'), ('account', 'account'), ('destination', 'destination'), ('tag', 'tag')], max_length=11, verbose_name='scope'),
        ),
        migrations.RemoveConstraint(
            model_name='pause',
            name='outbox_pause_scope',
        ),
        migrations.AddConstraint(
            model_name='pause',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('account', None), ('destination', None), ('scope', 'everything'), ('tag', '')), models.Q(('account__isnull', False), ('destination', None), ('scope', 'account'), ('tag', '')), models.Q(('account', None), ('destination__isnull', False), ('scope', 'destination'), ('tag', '')), models.Q(models.Q(('tag', ''), _negated=True), ('account', None), ('destination', None), ('scope', 'tag')), _connector='OR'), name='outbox_pause_scope'),
        ),
    ]
