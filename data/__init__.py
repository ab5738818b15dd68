"""The labelled corpus, the sectors it is labelled with, and the readers of article files."""
