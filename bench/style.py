"""The frame and the style sheet of the pages. Colours of runtimes follow Okabe and Ito's palette
for colour-blind readers, lightened for dark screens; no font and no image comes from outside."""

from __future__ import annotations

from html import escape

POLICY = "default-src 'none'; style-src 'unsafe-inline'"

CSS = """
:root {
  color-scheme: light dark;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif;
  --ink: #1b1f24; --soft: #59626e; --line: #d5dae1; --paper: #ffffff; --card: #f6f8fa;
  --band: #f7e9e6; --accent: #0b6e4f; --good: #e3f4ec; --bad: #b3261e; --badpaper: #fbeae8;
  --eager: #a64d79; --onnxruntime: #0072b2; --openvino: #c75000; --tensorrt: #00805c;
  --other: #666f7a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e8ebef; --soft: #a3adb9; --line: #39424d; --paper: #15191e; --card: #1d232a;
    --band: #33211f; --accent: #5fd3a5; --good: #16352a; --bad: #ff9a8f; --badpaper: #3a1f1c;
    --eager: #e79bc3; --onnxruntime: #5db8f0; --openvino: #ff9248; --tensorrt: #3fd6a4;
    --other: #a3adb9;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 var(--sans); }
main { max-width: 1240px; margin: 0 auto; padding: 40px 24px 64px; }
header p, .soft { color: var(--soft); }
header p { margin: 4px 0 0; }
h1 { font-size: 28px; line-height: 1.2; margin: 0; letter-spacing: -0.01em;
  overflow-wrap: anywhere; }
h2 { font-size: 19px; margin: 44px 0 12px; }
p { margin: 0 0 10px; max-width: 80ch; }
.verdict { margin: 24px 0 0; padding: 0; list-style: none; }
.verdict li { padding: 12px 16px; margin: 8px 0; border-radius: 8px; background: var(--card);
  border-left: 4px solid var(--line); overflow-wrap: anywhere; }
.verdict li.ship { background: var(--good); border-color: var(--accent); font-size: 17px; }
.verdict li.refuse { background: var(--badpaper); border-color: var(--bad); }
figure { margin: 0; }
figure svg { display: block; width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: 14px; max-width: 90ch; margin-top: 6px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14.5px;
  font-variant-numeric: tabular-nums; }
th, td { padding: 7px 10px; text-align: left; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th { color: var(--soft); font-weight: 600; font-size: 13px; vertical-align: bottom; }
th.over { border-bottom: 0; padding-bottom: 0; color: var(--ink); }
.number { text-align: right; }
tr.ship td { background: var(--good); }
tr.ship td:first-child { font-weight: 650; }
tr.refuse td:last-child:not(.number) { color: var(--bad); }
.dot { display: inline-block; width: 10px; height: 10px; border-radius: 50%; margin-right: 8px; }
ul.notes { padding-left: 20px; color: var(--soft); font-size: 14.5px; max-width: 100ch; }
ul.notes li { margin: 3px 0; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 20px; margin: 0;
  font-size: 14.5px; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
details { margin-top: 16px; }
summary { cursor: pointer; color: var(--soft); }
footer { margin-top: 48px; color: var(--soft); font-size: 13.5px; }
@media print { main { padding: 0; } .scroll { overflow: visible; } }
"""


def document(title: str, body: str) -> str:
    """A whole page: it loads nothing, from nowhere. ``body`` is markup."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{CSS}</style>
</head>
<body><main>
{body}
</main></body>
</html>
"""
