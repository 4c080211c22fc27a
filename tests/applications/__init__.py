"""Applications that stand behind the gate in tests; docs/applications.md shows three of them."""
