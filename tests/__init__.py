"""The proof: mirrors the rooms of the project."""
