"""What a run's folder holds: the plan, staged batches and checkpoints, and the catalog beside the runs."""
