"""Fitting a model to a shop: another head on a frozen network, in closed form, without torch.

Read in this order:

- `frozen`, `frozen_ensemble`: the model that is adapted, and what its head takes of photos;
- `closed_form`: a head fitted to such features;
- `choosing`: how it is fitted, chosen by validation, and what it gains on other products;
- `report`, `writing`: before and after, and the new model's folder;
- `finetuning`: all of that for labelled photos;
- `shop_photos`, `made_photos`: a shop's photos, and shoppers' photos made of them;
- `label_free`: a head fitted to these;
- `adapting`: all of that without labels.
"""

from __future__ import annotations
