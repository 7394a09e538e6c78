"""pytest's entry point: load the plugin under its module name.

Without this module between them, ``-p pytest_sst2.plugin`` and the entry point would register one module under two
names, which pytest refuses.
"""

pytest_plugins = ("pytest_sst2.plugin",)
