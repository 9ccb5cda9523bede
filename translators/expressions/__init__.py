"""Expressions of rule files: JMESPath compiled to closures, the functions they may call, the templates they stand in."""
