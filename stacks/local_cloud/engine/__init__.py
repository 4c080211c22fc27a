"""The CloudFormation engine: templates in, resources made by rows, everything strict."""
