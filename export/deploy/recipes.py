"""How ``trtexec`` is called in each release of TensorRT: a table, and what decides between rows.

The flags are those of ``sampleOptions.cpp`` in github.com/NVIDIA/TensorRT and of published
``trtexec --help`` outputs; the tests hold every command against a table of them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipe:
    """A way to build and measure.

    ``releases``: of TensorRT; ``strong``: types come from the ONNX file alone, else flags allow
    them; ``flags``: of a strongly typed build; ``build_only``: the flag that leaves measuring out;
    ``transfers``: the flag that includes copies, where they have to be asked for.
    """

    name: str
    releases: str
    strong: bool
    build_only: str = "--skipInference"
    flags: tuple[str, ...] = ()
    transfers: str = ""


RECIPES = (
    Recipe("8.5", "8.5", strong=False, build_only="--buildOnly"),
    Recipe("8.6", "8.6", strong=False),
    Recipe("10-weak", "10.x, weakly typed (deprecated since 10.12)", strong=False),
    Recipe("10-strong", "10.x, strongly typed", strong=True, flags=("--stronglyTyped",)),
    Recipe("11", "11.x", strong=True, transfers="--includeDataTransfers"),
)

#: Loaded, warmed up and measured as ``edgereid bench`` does: 0.2 s, then 3 s and 1,000 runs.
MEASURE_FLAGS = ("--warmUp=200", "--duration=3", "--iterations=1000", "--percentile=50,90,95,99")
#: 11.1 made these two the default and the flags no-ops; before, they must be given.
HOST_FLAGS = ("--useCudaGraph", "--useSpinWait")
NO_TRANSFERS = "--noDataTransfers"  # likewise

CHOOSER = """\
#!/bin/sh
# Choose the script for the trtexec at hand, by the flags it knows, and run it.
#   sh build.sh [auto|weak|strong]    auto: weakly typed where trtexec still can
# TRTEXEC: another trtexec than the one in PATH (an absolute path).
set -eu
cd "$(dirname "$0")"
typing=${1:-auto}
case $typing in
  auto|weak|strong) ;;
  *) echo "build.sh: typing '$typing' is unknown: auto, weak or strong." >&2; exit 2 ;;
esac
TRTEXEC=${TRTEXEC:-trtexec}
if ! command -v "$TRTEXEC" >/dev/null; then
  echo "build.sh: $TRTEXEC is not there: it comes with TensorRT (/usr/src/tensorrt/bin)." >&2
  exit 4
fi
if ! help=$("$TRTEXEC" --help 2>&1); then
  echo "build.sh: $TRTEXEC --help failed: is TensorRT installed whole?" >&2
  exit 4
fi
knows() { printf '%s\\n' "$help" | grep -q -e "^ *$1[ =,]"; }
if ! knows --fp16; then
  recipe=11
elif ! knows --stronglyTyped; then
  if knows --skipInference; then recipe=8.6; else recipe=8.5; fi
elif [ "$typing" = strong ]; then
  recipe=10-strong
else
  recipe=10-weak
fi
case $typing:$recipe in
  weak:11|strong:8.*)
    echo "build.sh: this TensorRT has no $typing typing: leave it out." >&2
    exit 2 ;;
esac
export TRTEXEC
echo "build.sh: trtexec-$recipe.sh" >&2
exec sh "./trtexec-$recipe.sh"
"""
