"""NetsPresso's sets of files in the keys of three of its versions, and what tests do with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from foveal.convert.netspresso_yaml import YamlConversion, convert_yaml

MODEL = """
task: detection
name: mine
checkpoint: {use_pretrained: False, load_head: False, path: ~, optimizer_path: ~}
freeze_backbone: False
architecture:
  full: ~
  backbone:
    name: resnet
    params:
      block_type: bottleneck
      norm_type: batch_norm
      return_stage_idx: [0, 1, 2, 3]
      split_stem_conv: False
      first_stage_shortcut_conv: False
    stage_params:
      - {channels: 64, num_blocks: 3}
      - {channels: 128, num_blocks: 4, replace_stride_with_dilation: False, replace_stride_with_pooling: False}
      - {channels: 256, num_blocks: 6, replace_stride_with_dilation: False, replace_stride_with_pooling: False}
      - {channels: 512, num_blocks: 3, replace_stride_with_dilation: False, replace_stride_with_pooling: False}
  neck:
    name: fpn
    params: {num_outs: 4, start_level: 0, end_level: -1, add_extra_convs: False, relu_before_extra_convs: False}
  head:
    name: anchor_decoupled_head
    params:
      anchor_sizes: [[32], [64], [128], [256]]
      aspect_ratios: [0.5, 1, 2]
      num_layers: 1
      norm_type: batch_norm
postprocessor:
  params: {topk_candidates: 1000, score_thresh: 0.05, nms_thresh: 0.45, class_agnostic: False}
losses: [{criterion: retinanet_loss, weight: ~}]
"""
OLD_MODEL = """
task: detection
name: mine
checkpoint: ./weights/resnet/resnet50.safetensors
load_checkpoint_head: False
fx_model_checkpoint: ~
resume_optimizer_checkpoint: ~
freeze_backbone: False
architecture:
  full: ~
  backbone:
    name: resnet
    params: {block: bottleneck, norm_layer: batch_norm}
    stage_params:
      - {plane: 64, layers: 3}
      - {plane: 128, layers: 4, replace_stride_with_dilation: False}
      - {plane: 256, layers: 6, replace_stride_with_dilation: False}
      - {plane: 512, layers: 3, replace_stride_with_dilation: False}
  neck:
    name: fpn
    params:
      num_outs: 4
      start_level: 0
      end_level: -1
      add_extra_convs: False
      relu_before_extra_convs: False
      no_norm_on_lateral: False
  head:
    name: retinanet_head
    params:
      anchor_sizes: [[32], [64], [128], [256]]
      aspect_ratios: [0.5, 1, 2]
      num_layers: 1
      norm_layer: batch_norm
      topk_candidates: 1000
      score_thresh: 0.05
      nms_thresh: 0.45
      class_agnostic: False
losses: [{criterion: retinanet_loss, weight: ~}]
"""
RESIZE = {
    "name": "resize",
    "size": 640,
    "interpolation": "bilinear",
    "max_size": None,
    "resize_criteria": "long",
}
PAD = {"name": "pad", "size": 640, "fill": 114}
TENSOR = {"name": "totensor", "pixel_range": 1.0}
MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.2, 0.25]
NORMALIZE = {"name": "normalize", "mean": MEAN, "std": STD}
NEW: dict[str, Any] = {
    "model": yaml.safe_load(MODEL),
    **yaml.safe_load("""
data:
  name: signs
  task: detection
  format: local
  path:
    root: signs
    train: {image: images/train, label: labels/train}
    valid: {image: images/valid, label: labels/valid}
    test: {image: ~, label: ~}
    pattern: {image: ~, label: ~}
  id_mapping: [stop, go]
  pallete: ~
augmentation:
  train:
    - name: mosaicdetection
      size: [640, 640]
      mosaic_prob: 0.5
      affine_scale: [0.5, 1.5]
      degrees: 10.0
      translate: 0.1
      shear: 0.0
      enable_mixup: True
      mixup_prob: 1.0
      mixup_scale: [0.1, 2.0]
      fill: 114
      mosaic_off_epoch: 25
    - {name: hsvjitter, h_mag: 5, s_mag: 30, v_mag: 30}
    - {name: randomhorizontalflip, p: 0.4}
    - {name: randomresize, base_size: [640, 640], stride: 32, random_range: 1, interpolation: bilinear}
training:
  epochs: 30
  mixed_precision: True
  max_norm: 0.1
  ema: {name: exp_decay, decay: 0.9999, beta: 2000}
  optimizer:
    name: sgd
    lr: 0.01
    momentum: 0.937
    weight_decay: 0.0005
    nesterov: True
    no_bias_decay: True
    no_norm_weight_decay: False
    overwrite: ~
  scheduler: {name: cosine_no_sgdr, warmup_epochs: 3, warmup_bias_lr: 0.001, min_lr: 0.0001, end_epoch: 25}
logging:
  project_id: ~
  output_dir: ./outputs
  tensorboard: True
  mlflow: False
  stdout: True
  num_save_samples: 16
  model_save_options:
    save_optimizer_state: True
    save_best_only: False
    best_model_criterion: loss
    sample_input_size: [640, 640]
    onnx_export_opset: 13
    validation_epoch: 10
    save_checkpoint_epoch: 10
  metrics: {classwise_analysis: False, metric_names: ~}
environment: {seed: 7, num_workers: 4, gpus: "0, 1, 2", batch_size: 8, cache_data: False}
"""),
}
"""The keys of 1.0 and later."""
NEW["augmentation"]["train"] += [RESIZE, PAD, TENSOR, NORMALIZE]
NEW["augmentation"]["inference"] = [RESIZE, PAD, TENSOR, NORMALIZE]
OLD: dict[str, Any] = {
    "model": yaml.safe_load(OLD_MODEL),
    "data": NEW["data"] | {"pallete": [[0, 0, 0], [1, 1, 1]]},
    **yaml.safe_load("""
augmentation:
  img_size: 512
  transforms:
    - {name: randomresizedcrop, size: 512, scale: [0.1, 1.0], ratio: [0.7, 1.3], interpolation: bilinear}
    - {name: randomverticalflip, p: 0.25}
    - {name: colorjitter, brightness: 0.25, contrast: 0.25, saturation: 0.25, hue: 0.1, p: 0.5}
    - {name: trivialaugmentwide, num_magnitude_bins: 31, interpolation: bilinear, fill: ~}
  mix_transforms: [{name: cutmix, alpha: 1.0, p: 1.0, inplace: False}]
training:
  seed: 1
  epochs: 12
  batch_size: 8
  ema: ~
  optimizer: {name: adamw, lr: 6e-5, betas: [0.9, 0.999], weight_decay: 0.0005}
  scheduler: {name: step, iters_per_phase: 4, gamma: 0.5}
logging:
  project_id: p
  output_dir: ./outputs
  tensorboard: True
  csv: False
  image: True
  stdout: True
  save_optimizer_state: True
  validation_epoch: 2
  save_checkpoint_epoch: 2
environment: {num_workers: 2, gpus: 0}
"""),
}
"""The keys of 0.1 and 0.2."""
OLD["training"]["optimizer"]["lr"] = 6e-5  # YAML 1.1, which PyYAML reads, takes 6e-5 for text
FLAT: dict[str, Any] = yaml.safe_load("""
augmentation:
  img_size: 256
  hsv_h: ~
  degrees: ~
  fliplr: 0.5
  flipud: ~
  mosaic: ~
  crop_size_h: 256
  resize_ratio0: 0.5
  color_jitter: {brightness: 0.25, contrast: 0.25, saturation: 0.25, hue: 0.1, colorjitter_p: 0.5}
training:
  seed: 1
  opt: sgd
  lr: 0.01
  momentum: 0.937
  weight_decay: 0.0005
  sched: cosine
  min_lr: 0.001
  warmup_bias_lr: 0.00001
  warmup_epochs: 5
  sched_power: 1.0
  epochs: 250
  batch_size: 8
  iters_per_phase: 30
""")
"""The keys of 0.0: no sections inside."""
EXAMPLES = {"new": NEW, "old": OLD, "flat": FLAT}


def write(folder: Path, sections: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, section in sections.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({name: section}, sort_keys=False))
    return folder


def convert(folder: Path, sections: dict[str, Any]) -> YamlConversion:
    return convert_yaml(write(folder, sections), folder / "foveal.yaml")


def changed(sections: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The sections with one value set."""
    tree: dict[str, Any] = json.loads(json.dumps(sections))
    node: Any = tree
    *way, last = path.split(".")
    for step in way:
        node = node[int(step)] if isinstance(node, list) else node[step]
    node[int(last) if isinstance(node, list) else last] = value
    return tree


def fate(result: YamlConversion, path: str) -> str:
    """What the report says of a key."""
    (entry,) = [entry for entry in result.entries if ".".join(map(str, entry.key)) == path]
    return entry.sentence()
