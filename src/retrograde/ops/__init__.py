"""The primitives, by family; each operation whole in one place."""
