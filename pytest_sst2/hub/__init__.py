"""Downloads a repository from the Hugging Face Hub; knows nothing of SST-2 or of models.

``cache`` finds a repository in the cache of huggingface_hub, ``download`` fetches it. ``worker`` is the child process
that runs huggingface_hub, and ``errors`` turns its failures into sentences.
"""
