"""Merging a run: every row of the dataset with its result, streamed into the files of the results."""
