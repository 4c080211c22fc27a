"""The only room that calls AWS to deploy: plan, change sets, events, rollout."""
