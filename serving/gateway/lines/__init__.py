"""What the gateway does for the lines of batches, beyond serving each as a request of its class.

Here: how many slots batch work may have and how fast it goes, for whoever keeps a window of
requests open or promises an end; partial generations kept over a gateway's death; requests that
kill engines. Not here: files, batches and their API (`serving.gateway.batches`), and running a
batch, which is the control plane's.
"""
