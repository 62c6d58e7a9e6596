"""An index for texts whose case does not matter, such as addresses."""

from typing import Any

from django.db import models
from django.db.models.functions import Lower


class FoldedIndex(models.Index):
    """`FoldedIndex("address")` finds equal texts and prefixes, compared by `LOWER`."""

    suffix = "folded"

    def __init__(self, column: str = "", **options: Any) -> None:
        self.column = column
        super().__init__(Lower(column), **options)

    def deconstruct(self) -> Any:
        path, _expressions, options = super().deconstruct()
        return path, (self.column,), options

    def create_sql(
        self, model: type[models.Model], schema_editor: Any, using: str = "", **kwargs: Any
    ) -> Any:
        statement = super().create_sql(model, schema_editor, using, **kwargs)
        if schema_editor.connection.vendor == "postgresql":
            # With any collation but C, only this operator class finds prefixes (LIKE 'abc%').
            columns: Any = f"({statement.parts['columns']}) text_pattern_ops"
            statement.parts["columns"] = columns
        return statement
