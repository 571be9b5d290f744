"""Training an embedding of products (extra `[train]`).

Nothing else in the package imports it but the commands `train` and `export`, and
`adaptation.network_stage`, when they run.

Read in this order:

- what a run is told and learns from: `config`, `photos`;
- a photo seen as a shopper or a seller would take it: `geometry`, `foreground` (the product without
  its background), `effects`, `augment`, and `sheets` (views for a person to look at);
- pixels to vectors: `lite` and `clip_stages` (the architectures), `backbones`, `network`, `tracing`
  (parts of it on ONNX Runtime);
- what a step learns from: `sampling` (which views share a batch), `photo_views` (their pixels,
  or frozen features), `teacher` (their targets), `lessons`;
- how it learns: `losses`, `schedule`, `averaging`, `fitting`, `checkpoint`;
- the run: `validation` and `fitted`, `progress_curves`, `loop`;
- to a model folder: `graphs`, `export`;
- beside all that, less to train: `last_stages` (of a model that is there), `adapters` (small
  changes of CLIP's last layers), and `tuning` of either.
"""

from __future__ import annotations
