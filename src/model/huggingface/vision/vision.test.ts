import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decodeRows } from "../../../quants/codec.js";
import { randomTensor, tinyFiles } from "../../../testing/hugging-face-model.js";
import { MemoryFolder } from "../../../testing/memory-folder.js";
import { safetensorsBytes } from "../../../testing/safetensors-file.js";
import { rowCount, type SourceTensor, weightCount } from "../../source.js";
import { openHuggingFaceModel } from "../open.js";

const vision = {
  depth: 3,
  hidden_size: 16,
  intermediate_size: 24,
  num_heads: 2,
  in_channels: 3,
  patch_size: 4,
  spatial_merge_size: 2,
  temporal_patch_size: 2,
  num_position_embeddings: 36,
  deepstack_visual_indexes: [0, 2],
};
const config = {
  architectures: ["Qwen3VLMoeForConditionalGeneration"],
  model_type: "qwen3_vl_moe",
  text_config: { hidden_size: 32, rms_norm_eps: 2 ** -20 },
  vision_config: vision,
};
const images = { image_mean: [0.5, 0.5, 0.25], image_std: [0.5, 0.5, 0.5] };

function tensors() {
  const shapes: [string, readonly number[]][] = [
    ["model.language_model.embed_tokens.weight", [6, 32]],
    ["model.visual.patch_embed.proj.weight", [16, 3, 2, 4, 4]],
    ["model.visual.patch_embed.proj.bias", [16]],
    ["model.visual.pos_embed.weight", [36, 16]],
  ];
  const linear = (name: string, columns: number, rows: number) =>
    shapes.push([`model.visual.${name}.weight`, [rows, columns]], [`model.visual.${name}.bias`, [rows]]);
  const norm = (name: string, size: number) =>
    shapes.push([`model.visual.${name}.weight`, [size]], [`model.visual.${name}.bias`, [size]]);
  for (const block of [0, 1, 2]) {
    norm(`blocks.${block}.norm1`, 16);
    norm(`blocks.${block}.norm2`, 16);
    linear(`blocks.${block}.attn.qkv`, 16, 48);
    linear(`blocks.${block}.attn.proj`, 16, 16);
    linear(`blocks.${block}.mlp.linear_fc1`, 16, 24);
    linear(`blocks.${block}.mlp.linear_fc2`, 24, 16);
  }
  norm("merger.norm", 16);
  for (const merger of ["merger", "deepstack_merger_list.0", "deepstack_merger_list.1"]) {
    linear(`${merger}.linear_fc1`, 64, 64);
    linear(`${merger}.linear_fc2`, 64, 32);
  }
  norm("deepstack_merger_list.0.norm", 64);
  norm("deepstack_merger_list.1.norm", 64);
  return Object.fromEntries(shapes.map(([name, shape], seed) => [name, randomTensor(shape, seed)]));
}

function folderOf(files: Record<string, object | Uint8Array>) {
  return new MemoryFolder("tower", files);
}

async function valuesOf(tensor: SourceTensor | undefined): Promise<Float32Array> {
  assert.ok(tensor);
  const values = new Float32Array(weightCount(tensor.shape));
  decodeRows(tensor.type, await tensor.readRows(0, rowCount(tensor.shape)), values);
  return values;
}

describe("a vision tower as a file of its own", () => {
  // Names and keys: `clip_model_loader` in llama.cpp `tools/mtmd/clip.cpp`, and TN_* and KEY_* of `clip-impl.h`.
  it("has the names, shapes and keys that llama.cpp's loader asks of a Qwen3-VL", async () => {
    const stored = tensors();
    const files = { "config.json": config, "preprocessor_config.json": images };
    const folder = folderOf({ ...files, "model.safetensors": safetensorsBytes(stored) });
    const model = await openHuggingFaceModel(folder, { mmproj: true });
    const found = new Map(model.tensors.map((tensor) => [tensor.name, tensor]));
    const block = ["ln1", "ln2", "attn_qkv", "attn_out", "ffn_up", "ffn_down"];
    const expected = [
      ...["v.patch_embd.weight", "v.patch_embd.weight.1", "v.patch_embd.bias", "v.position_embd.weight"],
      ...["weight", "bias"].flatMap((part) => [
        ...[0, 1, 2].flatMap((layer) => block.map((name) => `v.blk.${layer}.${name}.${part}`)),
        ...[`v.post_ln.${part}`, `mm.0.${part}`, `mm.2.${part}`],
        ...[0, 2].flatMap((layer) =>
          ["norm", "fc1", "fc2"].map((name) => `v.deepstack.${layer}.${name}.${part}`),
        ),
      ]),
    ];
    assert.deepEqual([...found.keys()].sort(), expected.sort());
    assert.deepEqual(found.get("v.patch_embd.weight")?.shape, [4, 4, 3, 16]);
    const keys = Object.fromEntries([...model.metadata].map(([key, { value }]) => [key, value]));
    for (const [key, value] of Object.entries({
      "general.architecture": "clip",
      "general.type": "mmproj",
      "clip.projector_type": "qwen3vl_merger",
      "clip.has_vision_encoder": true,
      "clip.use_gelu": true,
      "clip.vision.image_size": 24,
      "clip.vision.patch_size": 4,
      "clip.vision.embedding_length": 16,
      "clip.vision.feed_forward_length": 24,
      "clip.vision.block_count": 3,
      "clip.vision.attention.head_count": 2,
      "clip.vision.attention.layer_norm_epsilon": 2 ** -20,
      "clip.vision.projection_dim": 32,
      "clip.vision.spatial_merge_size": 2,
      "clip.vision.image_mean": images.image_mean,
      "clip.vision.image_std": images.image_std,
      "clip.vision.is_deepstack_layers": [true, false, true],
    })) {
      assert.deepEqual(keys[key], value, key);
    }
    assert.ok(![...model.metadata.keys()].some((key) => key.startsWith("tokenizer.")));
  });

  it("has the kernels of the two frames as two tensors, as float32", async () => {
    const stored = tensors();
    const files = { "config.json": config, "preprocessor_config.json": images };
    const folder = folderOf({ ...files, "model.safetensors": safetensorsBytes(stored) });
    const model = await openHuggingFaceModel(folder, { mmproj: true });
    const kernel = stored["model.visual.patch_embed.proj.weight"];
    assert.ok(kernel);
    const all = new Float32Array(16 * 3 * 2 * 16);
    decodeRows("BF16", kernel.data, all);
    for (const [frame, name] of ["v.patch_embd.weight", "v.patch_embd.weight.1"].entries()) {
      const tensor = model.tensors.find((one) => one.name === name);
      const wanted = all.filter((_, at) => Math.floor(at / 16) % 2 === frame);
      assert.deepEqual(await valuesOf(tensor), wanted);
      assert.equal(tensor && model.conversionType(tensor, "BF16"), "F32");
    }
  });

  it("is refused for models without one, of other families, and without what images need", async () => {
    const of = (files: object) =>
      openHuggingFaceModel(folderOf({ ...tinyFiles(), ...files }), { mmproj: true });
    await assert.rejects(of({}), { name: "UsageError", message: /has no vision tower/ });
    const other = { ...config, architectures: ["Mistral3ForConditionalGeneration"] };
    await assert.rejects(of({ "config.json": other }), {
      name: "UsageError",
      message: /Mistral3.*known are Qwen2VL/,
    });
    await assert.rejects(of({ "config.json": config }), {
      name: "MalformedInputError",
      message: /preprocessor_config\.json/,
    });
  });
});
