"""Forecasts of offered load compared on arrival traces: `python -m benchmarks.forecast TRACE...`.

Each way to forecast goes through a trace bucket by bucket, told only what was known then. Nothing
is served: a request is taken to end after `simulation`'s assumed service, unqueued.
"""
