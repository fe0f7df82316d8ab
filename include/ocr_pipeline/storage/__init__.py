"""Folders of files that appear whole or not at all, on a disk and in a bucket."""
