"""Adapters, so that other people's tools train, evaluate and log models of this package.

One module for each tool, which is imported by its name: ``cml_fast.integrations.lenskit``. The tool
itself is needed only then.
"""
