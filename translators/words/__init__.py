"""The words of the rule language, defined once, one module for each subject.

A platform's file is read by them, and docs/rules.md and the JSON Schema are generated from them. An unknown word is an error. What
the values mean together (scopes, branches, tasks) is the business of `translators.building`.
"""
