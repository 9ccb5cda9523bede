"""What a rule file's words mean together: what `translators.words` has read becomes the dataclasses of `translators.model`.

Expressions are compiled here, once, each with the names that its place knows.
"""
