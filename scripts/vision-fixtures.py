#!/usr/bin/env python3
"""Writes the checkpoints of `fixtures/convert/vision-*`, of seeded random numbers with the names, shapes and
configuration keys of the real ones, and what llama.cpp's own converter makes of their vision towers: the oracle of
src/model/huggingface/vision/. Needs numpy, torch, safetensors, transformers and llama.cpp's sources (v0.5.0).

    python3 scripts/vision-fixtures.py LLAMA_CPP [NAME...]
"""
import hashlib
import json
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import numpy
import torch
from safetensors.torch import save_file

root = Path(__file__).resolve().parent.parent / "fixtures" / "convert"
HIDDEN, TEXT, WIDTH, PATCH, LAYERS = 32, 64, 40, 4, 3


def linear(name, columns, rows, bias=True):
    return {f"{name}.weight": [rows, columns], **({f"{name}.bias": [rows]} if bias else {})}


def norm(name, size, bias=True):
    return {f"{name}.weight": [size], **({f"{name}.bias": [size]} if bias else {})}


def layers(prefix, make):
    tensors = {}
    for layer in range(LAYERS):
        for name, shape in make().items():
            tensors[f"{prefix}{layer}.{name}"] = shape
    return tensors


def prefixed(prefix, tensors):
    return {prefix + name: shape for name, shape in tensors.items()}


KERNEL = [HIDDEN, 3, 2, PATCH, PATCH]


def qwen2_block():
    return {
        **norm("norm1", HIDDEN), **norm("norm2", HIDDEN),
        **linear("attn.qkv", HIDDEN, 3 * HIDDEN), **linear("attn.proj", HIDDEN, HIDDEN),
        **linear("mlp.fc1", HIDDEN, 2 * HIDDEN), **linear("mlp.fc2", 2 * HIDDEN, HIDDEN),
    }


def gated_mlp(width, bias):
    return {
        **linear("mlp.gate_proj", HIDDEN, width, bias), **linear("mlp.up_proj", HIDDEN, width, bias),
        **linear("mlp.down_proj", width, HIDDEN, bias),
    }


def qwen25_block():
    return {
        **norm("norm1", HIDDEN, False), **norm("norm2", HIDDEN, False),
        **linear("attn.qkv", HIDDEN, 3 * HIDDEN), **linear("attn.proj", HIDDEN, HIDDEN),
        **gated_mlp(WIDTH, True),
    }


def qwen3_block():
    return {
        **norm("norm1", HIDDEN), **norm("norm2", HIDDEN),
        **linear("attn.qkv", HIDDEN, 3 * HIDDEN), **linear("attn.proj", HIDDEN, HIDDEN),
        **linear("mlp.linear_fc1", HIDDEN, WIDTH), **linear("mlp.linear_fc2", WIDTH, HIDDEN),
    }


def glm_block():
    return {
        **norm("norm1", HIDDEN, False), **norm("norm2", HIDDEN, False),
        **linear("attn.qkv", HIDDEN, 3 * HIDDEN, False), **linear("attn.proj", HIDDEN, HIDDEN, False),
        # The width of the blocks is that of the text model; `intermediate_size` is the merger's.
        **gated_mlp(TEXT, False),
    }


def attention(output, bias):
    names = ["q_proj", "k_proj", "v_proj", output]
    return {k: v for name in names for k, v in linear(f"self_attn.{name}", HIDDEN, HIDDEN, bias).items()}


def siglip_block():
    return {
        **norm("layer_norm1", HIDDEN), **norm("layer_norm2", HIDDEN), **attention("out_proj", True),
        **linear("mlp.fc1", HIDDEN, WIDTH), **linear("mlp.fc2", WIDTH, HIDDEN),
    }


def llama4_block():
    return {
        **norm("input_layernorm", HIDDEN), **norm("post_attention_layernorm", HIDDEN), **attention("o_proj", True),
        **linear("mlp.fc1", HIDDEN, 4 * HIDDEN), **linear("mlp.fc2", 4 * HIDDEN, HIDDEN),
    }


def gemma4_block(clipped=False):
    matrices = {
        **{f"self_attn.{name}": (HIDDEN, HIDDEN) for name in ["q_proj", "k_proj", "v_proj", "o_proj"]},
        "mlp.gate_proj": (HIDDEN, WIDTH), "mlp.up_proj": (HIDDEN, WIDTH), "mlp.down_proj": (WIDTH, HIDDEN),
    }
    tensors = {}
    for name, (columns, rows) in matrices.items():
        tensors[f"{name}.linear.weight"] = [rows, columns]
        if clipped:
            tensors.update({f"{name}.{side}_{end}": [] for side in ["input", "output"] for end in ["min", "max"]})
    for name in ["input", "post_attention", "pre_feedforward", "post_feedforward"]:
        tensors[f"{name}_layernorm.weight"] = [HIDDEN]
    head = {f"self_attn.{name}_norm.weight": [HIDDEN // 2] for name in "qk"}
    return {**tensors, **head}


text = {"hidden_size": TEXT, "rms_norm_eps": 1e-5, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 2, "intermediate_size": 32, "vocab_size": 8}
images = {"image_mean": [0.5, 0.25, 0.125], "image_std": [0.5, 0.75, 0.25]}
qwen_tower = {"depth": LAYERS, "num_heads": 2, "patch_size": PATCH, "spatial_merge_size": 2, "temporal_patch_size": 2}
siglip_tower = {"hidden_size": HIDDEN, "intermediate_size": WIDTH, "num_attention_heads": 2,
                "num_hidden_layers": LAYERS, "patch_size": PATCH}
MERGED = 4 * HIDDEN


def deepstack(index):
    prefix = f"deepstack_merger_list.{index}."
    return {**norm(prefix + "norm", MERGED), **linear(prefix + "linear_fc1", MERGED, MERGED),
            **linear(prefix + "linear_fc2", MERGED, TEXT)}


def gemma4_tensors(clipped):
    return {
        **prefixed("model.vision_tower.", {
            "patch_embedder.input_proj.weight": [HIDDEN, 3 * PATCH * PATCH],
            "patch_embedder.position_embedding_table": [2, 16, HIDDEN],
            **layers("encoder.layers.", lambda: gemma4_block(clipped)),
            **({} if clipped else {"std_bias": [HIDDEN], "std_scale": [HIDDEN]}),
        }),
        "model.embed_vision.embedding_projection.weight": [TEXT, HIDDEN],
    }


gemma4_text = {**text, "head_dim": 32, "layer_types": ["full_attention"], "vocab_size_per_layer_input": 8}
gemma4_tower = {**siglip_tower, "model_type": "gemma4_vision", "num_key_value_heads": 2, "head_dim": HIDDEN // 2,
                "position_embedding_size": 16, "pooling_kernel_size": 3, "rms_norm_eps": 1e-6}

# Class, model_type, the rest of config.json, the file that says how images are normalized, tensors.
cases = {
    "qwen2-vl": ("Qwen2VLForConditionalGeneration", "qwen2_vl", {
        **text, "vision_config": {**qwen_tower, "embed_dim": HIDDEN, "hidden_size": TEXT, "mlp_ratio": 2,
                                  "in_chans": 3, "spatial_patch_size": PATCH},
    }, ("preprocessor_config.json", images), prefixed("visual.", {
        "patch_embed.proj.weight": KERNEL, **layers("blocks.", qwen2_block), **norm("merger.ln_q", HIDDEN),
        **linear("merger.mlp.0", MERGED, MERGED), **linear("merger.mlp.2", MERGED, TEXT),
    })),
    "qwen2.5-vl": ("Qwen2_5_VLForConditionalGeneration", "qwen2_5_vl", {
        **text, "vision_config": {**qwen_tower, "hidden_act": "silu", "hidden_size": HIDDEN, "intermediate_size": WIDTH,
                                  "out_hidden_size": TEXT, "in_chans": 3, "spatial_patch_size": PATCH,
                                  "window_size": 16, "fullatt_block_indexes": [1]},
    }, ("preprocessor_config.json", images), prefixed("visual.", {
        "patch_embed.proj.weight": KERNEL, **layers("blocks.", qwen25_block), **norm("merger.ln_q", HIDDEN, False),
        **linear("merger.mlp.0", MERGED, MERGED), **linear("merger.mlp.2", MERGED, TEXT),
    })),
    "qwen3-vl": ("Qwen3VLMoeForConditionalGeneration", "qwen3_vl_moe", {
        "text_config": {**text, "num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 32},
        "vision_config": {**qwen_tower, "hidden_size": HIDDEN, "intermediate_size": WIDTH, "in_channels": 3,
                          "out_hidden_size": TEXT, "num_position_embeddings": 36, "deepstack_visual_indexes": [1]},
    }, ("preprocessor_config.json", images), prefixed("model.visual.", {
        **linear("patch_embed.proj", 0, HIDDEN), "patch_embed.proj.weight": KERNEL,
        "pos_embed.weight": [36, HIDDEN], **layers("blocks.", qwen3_block), **norm("merger.norm", HIDDEN),
        **linear("merger.linear_fc1", MERGED, MERGED), **linear("merger.linear_fc2", MERGED, TEXT), **deepstack(0),
    })),
    "gemma3": ("Gemma3ForConditionalGeneration", "gemma3", {
        "text_config": {**text, "head_dim": 32}, "vision_config": {**siglip_tower, "image_size": 32,
                                                                   "model_type": "siglip_vision_model"},
    }, ("preprocessor_config.json", {**images, "image_seq_length": 16}), {
        **prefixed("vision_tower.vision_model.", {
            "embeddings.patch_embedding.weight": [HIDDEN, 3, PATCH, PATCH],
            "embeddings.patch_embedding.bias": [HIDDEN],
            "embeddings.position_embedding.weight": [64, HIDDEN],
            **layers("encoder.layers.", siglip_block), **norm("post_layernorm", HIDDEN),
        }),
        "multi_modal_projector.mm_input_projection_weight": [HIDDEN, TEXT],
        "multi_modal_projector.mm_soft_emb_norm.weight": [HIDDEN],
    }),
    "gemma4": ("Gemma4ForConditionalGeneration", "gemma4", {
        "text_config": gemma4_text, "audio_config": None, "vision_config": {**gemma4_tower, "standardize": True},
    }, ("processor_config.json", {"image_processor": images}), gemma4_tensors(clipped=False)),
    "gemma4-clipped": ("Gemma4ForConditionalGeneration", "gemma4", {
        "text_config": gemma4_text, "audio_config": None,
        "vision_config": {**gemma4_tower, "use_clipped_linears": True},
    }, ("processor_config.json", {"image_processor": images}), gemma4_tensors(clipped=True)),
    "llama4": ("Llama4ForConditionalGeneration", "llama4", {
        "text_config": {**text, "head_dim": 32, "intermediate_size_mlp": 32, "num_local_experts": 2},
        "vision_config": {**siglip_tower, "intermediate_size": 4 * HIDDEN, "image_size": 16, "hidden_act": "gelu",
                          "norm_eps": 1e-5, "pixel_shuffle_ratio": 0.5, "projector_input_dim": 48,
                          "projector_output_dim": 48, "vision_output_dim": 48, "model_type": "llama4_vision_model"},
    }, ("preprocessor_config.json", images), {
        **prefixed("vision_model.", {
            "class_embedding": [HIDDEN], "positional_embedding_vlm": [17, HIDDEN],
            **linear("patch_embedding.linear", 3 * PATCH * PATCH, HIDDEN, False),
            **norm("layernorm_pre", HIDDEN), **norm("layernorm_post", HIDDEN),
            **layers("model.layers.", llama4_block),
            **linear("vision_adapter.mlp.fc1", 4 * HIDDEN, 48, False), **linear("vision_adapter.mlp.fc2", 48, 48, False),
        }),
        **linear("multi_modal_projector.linear_1", 48, TEXT, False),
    }),
    "glm4v": ("Glm4vMoeForConditionalGeneration", "glm4v_moe", {
        "text_config": {**text, "n_routed_experts": 2, "moe_intermediate_size": 32},
        "vision_config": {**qwen_tower, "hidden_size": HIDDEN, "intermediate_size": WIDTH, "out_hidden_size": TEXT,
                          "image_size": 16, "hidden_act": "silu", "attention_bias": False, "in_channels": 3,
                          "rms_norm_eps": 2e-5},
    }, ("preprocessor_config.json", images), prefixed("model.visual.", {
        "patch_embed.proj.weight": KERNEL, "patch_embed.proj.bias": [HIDDEN],
        "embeddings.position_embedding.weight": [16, HIDDEN], **norm("post_conv_layernorm", HIDDEN, False),
        **layers("blocks.", glm_block), **norm("post_layernorm", HIDDEN, False),
        "downsample.weight": [TEXT, HIDDEN, 2, 2], "downsample.bias": [TEXT],
        **linear("merger.proj", TEXT, TEXT, False), **norm("merger.post_projection_norm", TEXT),
        **linear("merger.gate_proj", TEXT, WIDTH, False), **linear("merger.up_proj", TEXT, WIDTH, False),
        **linear("merger.down_proj", WIDTH, TEXT, False),
    })),
}

variants = {"expected.json": "bf16", "expected.f16.json": "f16"}
omitted = {"general.name", "general.size_label", "general.alignment"}
types = {"UINT32": "u32", "INT32": "i32", "FLOAT32": "f32", "BOOL": "bool", "STRING": "string"}


def random_tensor(case, name, shape):
    generator = numpy.random.Generator(numpy.random.Philox(zlib.crc32(f"{case} {name}".encode())))
    return torch.from_numpy(generator.standard_normal(shape, dtype=numpy.float32).reshape(shape)).to(torch.bfloat16)


def write_checkpoint(folder, case):
    architecture, model_type, config, (processor, content), shapes = cases[case]
    folder.mkdir(parents=True, exist_ok=True)
    whole = {"architectures": [architecture], "model_type": model_type, "torch_dtype": "bfloat16", **config}
    for name, value in [("config.json", whole), (processor, content)]:
        (folder / name).write_text(json.dumps(value, indent=2) + "\n")
    # A tensor of the text model, which is to be passed over.
    known = {**shapes, "model.language_model.norm.weight": [TEXT]}
    save_file({name: random_tensor(case, name, shape) for name, shape in known.items()},
              folder / "model.safetensors", metadata={"format": "pt"})


def name_of(tensor, case):
    # The table of llama.cpp v0.5.0 has this name of Llama 4 twice, the second time as one of Gemma 4's norms; its
    # graph of Llama 4 wants what older converters wrote.
    return tensor.name.replace("attn_post_norm", "ln2") if case == "llama4" else tensor.name


def described(reader, flags, case):
    metadata = {}
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name in omitted:
            continue
        kinds = [types[kind.name] for kind in field.types if kind.name != "ARRAY"]
        is_array = field.types[0].name == "ARRAY"
        metadata[field.name] = {"type": f"array of {kinds[0]}" if is_array else kinds[0], "value": field.contents()}
    tensors = [{"name": name_of(tensor, case), "type": tensor.tensor_type.name, "shape": [int(size) for size in tensor.shape],
                "sha256": hashlib.sha256(tensor.data.tobytes()).hexdigest()} for tensor in reader.tensors]
    return {"architecture": "clip", "flags": flags, "metadata": dict(sorted(metadata.items())),
            "omittedKeys": sorted(omitted), "tensors": tensors}


def lines(description):
    """JSON with a key or a tensor on each line."""
    head = {key: value for key, value in description.items() if key not in ("metadata", "tensors")}
    keys = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in description["metadata"].items())
    tensors = ",\n".join(f"  {json.dumps(tensor)}" for tensor in description["tensors"])
    first = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items())
    return f'{{\n{first},\n "metadata": {{\n{keys}\n }},\n "tensors": [\n{tensors}\n ]\n}}\n'


def main():
    llama = Path(sys.argv[1])
    sys.path.insert(0, str(llama / "gguf-py"))
    from gguf import GGUFReader

    for case in sys.argv[2:] or cases:
        folder = root / f"vision-{case}"
        write_checkpoint(folder / "hf", case)
        for name, outtype in variants.items():
            flags = ["--mmproj", "--outtype", outtype]
            with tempfile.TemporaryDirectory() as scratch:
                output = Path(scratch) / "mmproj.gguf"
                subprocess.run([sys.executable, llama / "convert_hf_to_gguf.py", folder / "hf", "--outfile", output, *flags],
                               check=True, stdout=subprocess.DEVNULL)
                written = next(Path(scratch).iterdir())
                (folder / name).write_text(lines(described(GGUFReader(written), flags, case)))
        print(folder)


main()
