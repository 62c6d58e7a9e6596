"""What the shop stores."""

from django.db import models


class Order(models.Model):
    """Something a customer wants."""

    item = models.CharField(max_length=100)
    customer = models.EmailField()

    def __str__(self) -> str:
        return self.item
