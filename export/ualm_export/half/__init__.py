"""The float16 forms of a package's graphs, for GPUs."""
