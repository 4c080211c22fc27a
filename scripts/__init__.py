"""The scripts: what an operator types, each a thin face on the stacks."""
