"""Data sets in folders: the format, and how one is made of files of any size."""
