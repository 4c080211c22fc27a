"""Checks on rendered templates, before AWS is ever reached."""
