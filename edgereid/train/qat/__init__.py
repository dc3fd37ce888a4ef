"""Training with fake quantisation: weights and ranges that suit a target's integer arithmetic."""
