"""
The authorizer: whether a call of S3, KMS or DynamoDB goes through, by the policies as they are deployed.

A call walks: who (`callers`) -> from where (`ways`) -> with which condition
keys (`context`) -> what it asks for (`s3_calls`, `key_calls`, `table_calls`) ->
the policies that stand (`deployed`) -> the answer (`verdicts`), put before the
services by `gate`. The evaluation itself is `stacks.access`.
"""
