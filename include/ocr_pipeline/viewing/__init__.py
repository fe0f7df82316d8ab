"""Questions about the results of a run, merged or still going. Nothing here writes into the run's folder."""
