"""What TensorRT's Python bindings do without a GPU, recorded from the real ones.

    PYTHONPATH=UNPACKED_WHEEL LD_LIBRARY_PATH=STUBS python trt_behaviour.py 10.3

adds a release to ``api/behaviour.json`` (see ``api/extract.py`` for the stubs). The fakes are held
against the record by ``test_behaviour.py``.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

RECORD = Path(__file__).parent / "api" / "behaviour.json"

#: Expressions over ``t``, the module, and ``log``, a logger of a derived class.
EXPRESSIONS = """
t.__version__
int(t.BuilderFlag.TF32)
t.BuilderFlag.TF32.name
t.BuilderFlag.TF32.value
str(t.BuilderFlag.TF32)
repr(t.BuilderFlag.TF32)
t.BuilderFlag.TF32 == int(t.BuilderFlag.TF32)
t.BuilderFlag.TF32 == t.BuilderFlag.TF32
t.BuilderFlag.TF32 != t.BuilderFlag.REFIT
t.BuilderFlag.TF32 == t.DataType.FLOAT
t.BuilderFlag.TF32 in {t.BuilderFlag.TF32: 1}
1 << t.BuilderFlag.TF32
1 << int(t.BuilderFlag.TF32)
t.BuilderFlag.TF32 | t.BuilderFlag.REFIT
t.BuilderFlag.TF32 < t.BuilderFlag.REFIT
t.BuilderFlag(int(t.BuilderFlag.TF32))
repr(t.BuilderFlag(999))
sorted(t.BuilderFlag.__members__)
t.BuilderFlag.FOO
t.BuilderFlag.TF32.foo
hash(t.DataType.FLOAT)
t.DataType.FLOAT < t.DataType.HALF
t.DataType.FLOAT < 3
t.DataType.FLOAT.itemsize
t.float32 == t.DataType.FLOAT
t.nptype(t.float16).__name__
t.nptype(t.DataType.INT8).__name__
t.nptype(t.DataType.FP8)
t.volume((1, 2, 3))
t.volume(())
t.Dims((1, 2))
tuple(t.Dims([1, -1]))
t.Dims((1, 2)) == (1, 2)
t.Dims((1, 2)) == [1, 2]
t.Dims((1, 2)) != (1, 3)
t.Dims((1, 2)) == t.Dims((1, 2))
len(t.Dims((1, 2)))
t.Dims((1, 2))[-1]
t.Dims((1, 2))[5]
t.Dims((1, 2))[0:1]
t.Dims((1.5, 2))
t.Dims(3)
t.Dims([0] * 9)
t.Dims('ab')
hash(t.Dims((1,)))
repr(t.Dims((1,)))
repr(t.Dims())
t.Dims((1, 2)) + (3,)
t.Dims((1, 2)).MAX_DIMS
isinstance(t.Dims((1, 2)), tuple)
list(t.Dims((1, 2)))
2 in t.Dims((1, 2))
t.Logger(t.Logger.ERROR).min_severity
t.Logger(min_severity=t.Logger.VERBOSE).min_severity
t.Logger(severity=1)
t.Logger(1)
t.Logger(None)
t.Logger().foo
setattr(t.Logger(), 'foo', 1)
setattr(t.Logger(), 'min_severity', t.Logger.INFO)
setattr(t.Logger(), 'min_severity', 3)
t.Logger().log(t.Logger.VERBOSE, 'x')
t.Logger().log(severity=t.Logger.VERBOSE, msg='x')
t.Logger().log('x', 'y')
t.Logger().log(t.Logger.VERBOSE)
t.Logger.Severity is t.ILogger.Severity
repr(t.Logger.ERROR)
t.Logger.ERROR < t.Logger.WARNING
t.ILogger().log(t.Logger.ERROR, 'x')
type(log)(1)
setattr(log, 'foo', 1)
type('Bad', (t.ILogger,), {'__init__': lambda self: None})()
t.Builder(log)
t.Builder(logger=log)
t.Builder(1)
t.Builder()
t.Builder(None)
t.Builder(log, 1)
t.Builder(log=log)
t.Runtime(log)
t.Runtime(t.Logger())
t.Runtime(None)
t.IBuilderConfig()
t.INetworkDefinition()
t.ICudaEngine()
t.IExecutionContext()
t.IHostMemory()
t.OnnxParser(None, log)
t.OnnxParser(1, 2)
t.IBuilderConfig.foo
isinstance(t.IBuilderConfig.profiling_verbosity, property)
t.init_libnvinfer_plugins(log)
hasattr(t.BuilderFlag, 'FP16')
hasattr(t.BuilderFlag, 'FP4')
hasattr(t, 'IProgressMonitor')
hasattr(t.IBuilderConfig, 'int8_calibrator')
issubclass(t.Logger, t.ILogger)
t.TensorIOMode.INPUT == t.TensorIOMode(1)
t.MemoryPoolType.WORKSPACE.name
t.ProfilingVerbosity.DETAILED
t.HardwareCompatibilityLevel.AMPERE_PLUS
t.LayerInformationFormat.JSON
t.NetworkDefinitionCreationFlag.STRONGLY_TYPED
t.OnnxParserFlag.NATIVE_INSTANCENORM
sorted(n for n in dir(t) if n[0] != '_' and type(getattr(t, n)).__name__ != 'module')
""".strip().splitlines()

#: Names of the module that are left-overs of its own source.
LEFT_OVERS = ("attr", "value", "common_enter", "common_exit")


def outcomes(trt: Any) -> dict[str, str]:
    """Expression -> what it gives, or ``!`` and the name of the exception."""

    class Log(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            pass

    known = {"t": trt, "log": Log()}
    found = {}
    for expression in EXPRESSIONS:
        try:
            value = eval(expression, dict(known))
            if isinstance(value, list):
                value = [v for v in value if v not in LEFT_OVERS]
            found[expression] = re.sub(r" at 0x\w+", "", repr(value))
        except Exception as error:
            found[expression] = f"!{type(error).__name__}"
    return found


if __name__ == "__main__":
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    record[sys.argv[1]] = outcomes(importlib.import_module("tensorrt_bindings"))
    RECORD.write_text(json.dumps(record, indent=0, sort_keys=True) + "\n", encoding="utf-8")
