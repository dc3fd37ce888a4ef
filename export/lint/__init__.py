"""Lint: does an ONNX file keep the rules of the runtime that is to run it? (``docs/lint.md``)"""
