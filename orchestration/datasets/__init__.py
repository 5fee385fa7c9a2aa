"""Datasets: batch work that comes again and again, each declared in a YAML file.

A file says where prompts come from, how requests are made of them, when, and where answers go;
it becomes a partitioned asset with a schedule, checks and freshness. `docs/datasets.md` lists the
keys.
"""
