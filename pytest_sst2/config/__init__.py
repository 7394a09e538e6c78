"""What a run can be asked for: models, methods, recipes and options. Loads neither numpy nor torch.

- ``options``: the table of all options. ``option_parsers`` parses their values.
- ``misspelt``: refuses options that do not exist, warns of such ini options, and names the nearest one.
- ``settings``: ``Settings``, the values of all options; ``read_settings`` reads them, ``option_values`` one at a time.
- ``project_folder``: where ``.sst2/`` is.
- ``specs``: ``ModelSpec``, ``MethodSpec`` and ``Cell``. ``catalog``: the built-in models and methods.
- ``variants``: ``minilm:int8`` and other ways to serve a model.
- ``registry``: looks up models and methods by name. ``matrix``: the cells of a run.
- ``against``: the questions of ``--sst2-against``. ``declared``: those of ``--sst2-changed``.
- ``compare_command``: what to type to judge saved results as a run does.
- ``recipes``: ``Recipe`` and the presets, such as ``quick``.
"""
