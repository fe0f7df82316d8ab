"""Planning a run: number the rows of a dataset, find repeated links, cut the rows into batches."""
