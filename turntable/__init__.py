"""The command line of Turntable: starting, looking, moving models by hand, and showing it work.

Commands speak to a running instance through its public interfaces; only `supervision` knows
which processes there are.
"""
