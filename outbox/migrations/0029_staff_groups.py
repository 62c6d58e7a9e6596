from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
        ('outbox', '0028_worker_drain'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='account',
            options={'ordering': ['name', 'id'], 'permissions': [('trust_account', 'Can trust accounts with servers in the private network'), ('share_account', 'Can share accounts, if the settings require this permission'), ('view_all_accounts', 'Can see every account, not only those of their groups')]},
        ),
        migrations.AddField(
            model_name='account',
            name='staff_groups',
            field=models.ManyToManyField(blank=True, help_text='Staff in these groups see the account and its messages, as far as their permissions allow. Staff with the permission “view_all_accounts” see every account.', related_name='+', to='auth.group', verbose_name='groups of staff'),
        ),
    ]
