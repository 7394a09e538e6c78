"""Locate, verify and load models. ``safety`` checks a model's files before any library loads them.

- ``loader``: returns a model's tokenizer, classifier or sentence encoder. Start here.
- ``locate``: finds the files in a folder, the Hub's cache, the Hub or a package; ``verify`` checks them.
- ``safety``: refuses remote code, paths outside the folder and invalid weights. ``not_a_model`` explains other files.
- ``pickles``: converts pickled weights; ``pickle_reader`` reads them in a child process.
- ``trial_load``: loads an unknown model in a child process first, under bounds of time and memory.
- ``sentence_transformers_config``: refuses settings that would load other files than the verified ones.
- ``module_classes``: refuses classes of sentence-transformers that would load another model.
- ``layout``: finds a model's modules and their files; ``repository_files`` chooses those of a repository on the Hub.
- ``bundled``: finds and verifies the files of a package.
- ``compatibility_checks``: checks a loaded model with its tokenizer; ``max_length`` finds its input limit.
- ``guarded_calls``: calls the libraries offline and without their output; ``library_compat`` handles renamed arguments.
- ``classifier_head``: refuses a head that is not for two classes. ``head_labels`` finds the order of its classes.
- ``variants``: serves a model in int8 or by another runtime. ``word_vectors``: models without a transformer.
- ``unchanged``: detects changes of the files during a run.
- ``out_of_memory``: recognises and reports out-of-memory errors.
"""
