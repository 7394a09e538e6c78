"""Locate, verify and load models. ``safety`` checks a model's files before any library loads them.

- ``loader``: returns a model's tokenizer, classifier or sentence encoder. Start here.
- ``locate``: finds the files in a folder, the Hub's cache, the Hub or a package, and verifies them.
- ``safety``: refuses pickles, remote code, paths outside the folder and invalid weights.
- ``trial_load``: loads an unknown model in a child process first, under bounds of time and memory.
- ``sentence_transformers_config``: refuses settings that would load other files than the verified ones.
- ``module_classes``: refuses classes of sentence-transformers that would load another model.
- ``layout``: finds a model's modules and their files; ``bundled`` finds and verifies the files of a package.
- ``compatibility_checks``: checks a loaded model with its tokenizer; ``max_length`` finds its input limit.
- ``guarded_calls``: calls the libraries offline and without their output; ``library_compat`` handles renamed arguments.
- ``head_labels``: finds the order of a head's classes, and swaps them.
- ``unchanged``: detects changes of the files during a run.
- ``out_of_memory``: recognises and reports out-of-memory errors.
"""
