"""Settings of a run, and what only the deployment decides; the languages and models that they may name."""
