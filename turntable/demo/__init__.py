"""The demo: the whole loop, observed from outside through public interfaces alone."""
