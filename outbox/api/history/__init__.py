"""What operators look for among the messages of all owners: filters and search, as conditions.

The admin's list shows the messages that meet them, and a bulk operation acts on them.
"""
