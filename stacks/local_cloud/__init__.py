"""The embedded cloud: a small CloudFormation engine over moto's service APIs, and what it deploys really running."""
