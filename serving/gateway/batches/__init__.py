"""OpenAI's Files and Batches API.

Reading what is asked, answering in OpenAI's form, taking uploads in, and validating inputs. What a
batch is and may become is `serving.batches`; running one is the control plane's.
"""
