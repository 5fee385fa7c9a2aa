"""Who goes next of the requests that wait for the engines of one model. Pure.
"""
