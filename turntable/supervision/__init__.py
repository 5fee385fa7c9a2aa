"""An instance of Turntable as a set of supervised processes.

supervisord starts and restarts them; what is here decides which there are, waits until they are
ready, and makes sure that nothing is left when they are stopped.
"""
