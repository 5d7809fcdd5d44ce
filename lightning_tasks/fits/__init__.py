"""A fit of any LightningModule as a trial: its parts, its learning curve, its checkpoints, and its network on disk."""
