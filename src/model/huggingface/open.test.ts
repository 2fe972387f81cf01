import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { planGguf } from "../../gguf/layout.js";
import { decodeRows, encodeRows } from "../../quants/codec.js";
import { randomTensor, tinyConfig, tinyFiles, tinyTensors } from "../../testing/hugging-face-model.js";
import { type Files, MemoryFolder } from "../../testing/memory-folder.js";
import { safetensorsBytes, type TestSafetensor } from "../../testing/safetensors-file.js";
import { openGguf } from "../gguf-model.js";
import { type ModelSource, rowCount, weightCount } from "../source.js";
import { conversionFileType, conversionType, parseConversionTarget } from "./conversion.js";
import { openHuggingFaceFolder, openHuggingFaceModel } from "./open.js";

function open(files: Files): Promise<ModelSource> {
  return openHuggingFaceModel(new MemoryFolder("m", files));
}

/** All bytes of a tensor. */
async function bytesOf(model: ModelSource, name: string): Promise<Uint8Array> {
  const tensor = model.tensors.find((one) => one.name === name);
  assert.ok(tensor, name);
  return await tensor.readRows(0, rowCount(tensor.shape));
}

/**
 * SHA-256 of the files that llama.cpp v0.5.0's own converter (conversion/qwen.py and gguf-py) writes for the tiny
 * model, run with numpy in place of torch and with the tokenizer file in place of transformers' tokenizer.
 */
const convertedFiles = {
  bf16: "b56bc1b62f3e0d0da87f67b21313477e4f4db15dd84e18cf873cf912343d4768",
  f16: "75f5f95df367aeebea12d6fd53afc396730743b39bb7c33ad12d3033f4c49049",
  f32: "832e04b794feb30d6ab426c568af2d2d9d467318a2a5380932c1d9b71de83819",
  q8_0: "be05110d184b043be59c5f9364758ee883c2152b4a773e51bf8af2f218b89e16",
};

for (const [type, sha256] of Object.entries(convertedFiles)) {
  test(`the tiny model as ${type} is byte for byte the file that llama.cpp's converter writes`, async (t) => {
    const model = await openHuggingFaceFolder("fixtures/tiny-moe");
    t.after(() => model.close());
    const target = parseConversionTarget(type);
    const metadata = new Map(model.metadata);
    metadata.set("general.file_type", { type: "uint32", value: conversionFileType(target) });
    const layout = planGguf({
      metadata,
      tensors: model.tensors.map((tensor) => ({ ...tensor, type: conversionType(tensor, target) })),
    });
    const hash = createHash("sha256").update(layout.header);
    for (const [index, tensor] of model.tensors.entries()) {
      const planned = layout.tensors[index]!;
      const weights = new Float32Array(weightCount(tensor.shape));
      decodeRows(tensor.type, await tensor.readRows(0, rowCount(tensor.shape)), weights);
      const encoded = new Uint8Array(planned.byteLength);
      encodeRows(planned.type, weights, tensor.shape[0]!, undefined, encoded);
      const end = layout.tensors[index + 1]?.offset ?? layout.byteLength;
      hash.update(encoded).update(new Uint8Array(end - planned.offset - planned.byteLength));
    }
    assert.equal(hash.digest("hex"), sha256);
  });
}

test("the tiny model's metadata differs from the reference file's only where that file was made by hand", async (t) => {
  const model = await openHuggingFaceFolder("fixtures/tiny-moe");
  t.after(() => model.close());
  const reference = await openGguf("fixtures/tiny-moe-q8_0.gguf");
  t.after(() => reference.close());
  const differing = [...new Set([...model.metadata.keys(), ...reference.metadata.keys()])].filter((key) => {
    const [ours, theirs] = [model.metadata.get(key), reference.metadata.get(key)];
    return JSON.stringify([ours?.type, ours?.value]) !== JSON.stringify([theirs?.type, theirs?.value]);
  });
  assert.deepEqual(differing, [
    // From the folder's name, where the file's maker wrote "Tiny MoE Coder".
    "general.name",
    // Counted as 16x2.6M, where the file's maker wrote 16x1M.
    "general.size_label",
    // BF16 as stored, where the file is Q8_0.
    "general.file_type",
    // llama.cpp's converter writes this 0 of config.json, the file's maker did not.
    "qwen3moe.expert_shared_feed_forward_length",
    // A line break inside a Jinja string as tokenizer_config.json has it, where the file has backslash and n.
    "tokenizer.chat_template",
    // The folder has no README.md.
    "general.license",
  ]);
});

test("tensors come in the order of their Hugging Face names, each layer's experts stacked after its last", async () => {
  const model = await open(tinyFiles());
  const layer = (index: number) => [
    `blk.${index}.attn_norm.weight F32 32`,
    `blk.${index}.ffn_down_exps.weight BF16 24x32x3`,
    `blk.${index}.ffn_gate_exps.weight BF16 32x24x3`,
    `blk.${index}.ffn_up_exps.weight BF16 32x24x3`,
    `blk.${index}.ffn_gate_inp.weight F32 32x3`,
    `blk.${index}.ffn_norm.weight F32 32`,
    `blk.${index}.attn_k_norm.weight F32 8`,
    `blk.${index}.attn_k.weight BF16 32x8`,
    `blk.${index}.attn_output.weight BF16 16x32`,
    `blk.${index}.attn_q_norm.weight F32 8`,
    `blk.${index}.attn_q.weight BF16 32x16`,
    `blk.${index}.attn_v.weight BF16 32x8`,
  ];
  assert.deepEqual(
    model.tensors.map(({ name, type, shape }) => `${name} ${type} ${shape.join("x")}`),
    [
      "output.weight BF16 32x6",
      "token_embd.weight BF16 32x6",
      ...layer(0),
      ...layer(1),
      "output_norm.weight F32 32",
    ],
  );
});

test("the rows of a stacked tensor come from each expert's own file", async () => {
  const tensors = tinyTensors();
  const shardOf = (name: string) =>
    name.includes("experts.1.") ? "model-00002-of-00002.safetensors" : "model-00001-of-00002.safetensors";
  const files: Record<string, Uint8Array | object> = { ...tinyFiles() };
  delete files["model.safetensors"];
  const weightMap = Object.fromEntries(Object.keys(tensors).map((name) => [name, shardOf(name)]));
  for (const file of new Set(Object.values(weightMap))) {
    const inFile = Object.entries(tensors).filter(([name]) => weightMap[name] === file);
    files[file] = safetensorsBytes(Object.fromEntries(inFile));
  }
  files["model.safetensors.index.json"] = { weight_map: weightMap };
  const folder = new MemoryFolder("m", files);
  const model = await openHuggingFaceModel(folder);
  const single = await open(tinyFiles());
  for (const { name } of single.tensors) {
    assert.deepEqual(await bytesOf(model, name), await bytesOf(single, name));
  }
  const expert = (index: number) => tensors[`model.layers.1.mlp.experts.${index}.down_proj.weight`]!.data;
  assert.deepEqual(
    Buffer.from(await bytesOf(model, "blk.1.ffn_down_exps.weight")),
    Buffer.concat([expert(0), expert(1), expert(2)]),
  );
  assert.deepEqual(
    model.files.map(({ name }) => name),
    ["m/model-00001-of-00002.safetensors", "m/model-00002-of-00002.safetensors"],
  );
  await model.close();
  assert.deepEqual(folder.unclosed, []);
});

test("experts stored in one tensor per layer give the same as experts stored one by one", async () => {
  const tensors = tinyTensors();
  const fused: Record<string, TestSafetensor> = {};
  for (const [name, tensor] of Object.entries(tensors)) {
    if (!name.includes("experts")) {
      fused[name] = tensor;
    }
  }
  for (const layer of ["model.layers.0.mlp.experts", "model.layers.1.mlp.experts"]) {
    const part = (expert: number, projection: string) =>
      tensors[`${layer}.${expert}.${projection}.weight`]!.data;
    fused[`${layer}.down_proj`] = {
      dtype: "BF16",
      shape: [3, 32, 24],
      data: Buffer.concat([0, 1, 2].map((expert) => part(expert, "down_proj"))),
    };
    fused[`${layer}.gate_up_proj`] = {
      dtype: "BF16",
      shape: [3, 48, 32],
      data: Buffer.concat(
        [0, 1, 2].flatMap((expert) => [part(expert, "gate_proj"), part(expert, "up_proj")]),
      ),
    };
  }
  const model = await open(tinyFiles(fused));
  const separate = await open(tinyFiles(tensors));
  for (const { name } of separate.tensors) {
    assert.deepEqual(await bytesOf(model, name), await bytesOf(separate, name), name);
  }
});

test("F16 and F32 models keep their type, and their norms are F32", async () => {
  for (const [dtype, bytes, fileType] of [
    ["F16", 2, 1],
    ["F32", 4, 0],
  ] as const) {
    const tensors = Object.fromEntries(
      Object.entries(tinyTensors()).map(([name, { shape, data }]) => [
        name,
        { dtype, shape, data: new Uint8Array((data.length / 2) * bytes) },
      ]),
    );
    const model = await open(tinyFiles(tensors));
    const types = new Map(model.tensors.map(({ name, type }) => [name, type]));
    assert.equal(types.get("token_embd.weight"), dtype);
    assert.equal(types.get("output_norm.weight"), "F32");
    assert.equal((await bytesOf(model, "output_norm.weight")).length, 128);
    assert.deepEqual(model.metadata.get("general.file_type"), { type: "uint32", value: fileType });
  }
});

test("buffers that exporters leave in the files are passed over", async () => {
  const tensors = { ...tinyTensors(), "model.layers.0.self_attn.rotary_emb.inv_freq": randomTensor([4], 1) };
  assert.equal((await open(tinyFiles(tensors))).tensors.length, 27);
});

test("a model whose output is tied to its embedding may lack the output matrix", async () => {
  const { "lm_head.weight": _, ...tensors } = tinyTensors();
  const files = { ...tinyFiles(tensors), "config.json": { ...tinyConfig, tie_word_embeddings: true } };
  assert.ok(!(await open(files)).tensors.some(({ name }) => name === "output.weight"));
  await assert.rejects(open(tinyFiles(tensors)), {
    message:
      'm: tensor "lm_head.weight" is missing, which the qwen3moe model of config.json needs; check that all files are downloaded.',
  });
});

test("an output matrix of its own beside a tie to the embedding is kept, as transformers 5 does, and said", async () => {
  const config = { ...tinyConfig, tie_word_embeddings: true };
  const other = await open({ ...tinyFiles(), "config.json": config });
  assert.ok(other.tensors.some(({ name }) => name === "output.weight"));
  assert.deepEqual(other.notes, [
    'config.json says "tie_word_embeddings", but lm_head.weight has weights of its own; they are kept, as in transformers 5.',
  ]);
  const tensors = tinyTensors();
  const embedding = tensors["model.embed_tokens.weight"];
  assert.ok(embedding);
  const same = await open({
    ...tinyFiles({ ...tensors, "lm_head.weight": embedding }),
    "config.json": config,
  });
  assert.deepEqual(same.notes, []);
});

/** The tiny model's files with some tensors replaced or, if undefined, left out. */
function withTensors(changes: Readonly<Record<string, TestSafetensor | undefined>>): Files {
  const entries = Object.entries({ ...tinyTensors(), ...changes }).filter(([, tensor]) => tensor);
  return tinyFiles(Object.fromEntries(entries) as Record<string, TestSafetensor>);
}

const withConfig = (changes: object): Files => ({
  ...tinyFiles(),
  "config.json": { ...tinyConfig, ...changes },
});
const without = (file: string): Files =>
  Object.fromEntries(Object.entries(tinyFiles()).filter(([name]) => name !== file)) as Files;

const refused: readonly [what: string, files: Files, message: string][] = [
  [
    "a folder without config.json",
    without("config.json"),
    "m: has no config.json; name a Hugging Face model folder.",
  ],
  [
    "a folder without tokenizer.json",
    without("tokenizer.json"),
    "m: has no tokenizer.json (nor tokenizer.model or tiktoken.model); download it, or write it with transformers' save_pretrained.",
  ],
  [
    "weights packed in a way that we do not know",
    withConfig({ quantization_config: { quant_method: "aqlm" } }),
    'm/config.json: the weights are packed by "aqlm", which cannot be decoded; known are fp8, mxfp4, compressed-tensors, modelopt, gptq, awq. Take the original model in BF16 or FP8.',
  ],
  [
    "an embedding model",
    { ...tinyFiles(), "modules.json": [] },
    "m: is an embedding model (it has modules.json); convert it with llama.cpp's convert_hf_to_gguf.py.",
  ],
  [
    "a missing expert",
    withTensors({ "model.layers.1.mlp.experts.2.up_proj.weight": undefined }),
    'm: tensor "model.layers.1.mlp.experts.2.up_proj.weight" is missing, which the qwen3moe model of config.json needs; check that all files are downloaded.',
  ],
  [
    "a missing layer",
    withConfig({ num_hidden_layers: 3 }),
    'm: tensor "model.layers.2.input_layernorm.weight" is missing, which the qwen3moe model of config.json needs; check that all files are downloaded.',
  ],
  [
    "a layer too many",
    withConfig({ num_hidden_layers: 1 }),
    'm/model.safetensors: tensor "model.layers.1.input_layernorm.weight" is of layer 1, but config.json has 1.',
  ],
  [
    "an expert too many",
    withConfig({ num_experts: 2 }),
    'm/model.safetensors: tensor "model.layers.0.mlp.experts.2.down_proj.weight" is of expert 2, but config.json has 2.',
  ],
  [
    "a shape that contradicts config.json",
    withConfig({ moe_intermediate_size: 16 }),
    'm/model.safetensors: tensor "model.layers.0.mlp.experts.0.down_proj.weight" has shape [32, 24], but config.json asks for [32, 16].',
  ],
  [
    "a tensor that the architecture does not have",
    withTensors({ "model.layers.0.self_attn.q_proj.bias": randomTensor([16], 1) }),
    'm/model.safetensors: tensor "model.layers.0.self_attn.q_proj.bias" has no place in the architecture qwen3moe.',
  ],
  [
    "an FP8 tensor without its scale",
    withTensors({
      "lm_head.weight": { dtype: "F8_E4M3", shape: [6, 32], data: new Uint8Array(192) },
    }),
    'm/model.safetensors: tensor "lm_head.weight" is FP8 without a scale; "lm_head.weight_scale_inv", "lm_head.weight_scale" or "lm_head.scale" is expected, so check that all files are downloaded.',
  ],
  [
    "layers without experts",
    withConfig({ mlp_only_layers: [1] }),
    "m/config.json: mlp_only_layers or decoder_sparse_step ask for layers without experts, which llama.cpp cannot run in this architecture.",
  ],
  [
    "more experts used than there are",
    withConfig({ num_experts_per_tok: 4 }),
    'm/config.json: "num_experts_per_tok" is 4, but a number from 1 to 3 is expected.',
  ],
  [
    "a size that is no number",
    withConfig({ hidden_size: "32" }),
    'm/config.json: "hidden_size" is "32", but a whole number from 0 to 16777216 is expected.',
  ],
  [
    "a vocabulary that no model has",
    withConfig({ vocab_size: 4e9 }),
    'm/config.json: "vocab_size" is 4000000000, but a whole number from 0 to 16777216 is expected.',
  ],
  [
    "layers that no model has",
    withConfig({ num_hidden_layers: 4097 }),
    'm/config.json: "num_hidden_layers" is 4097, but a whole number from 0 to 4096 is expected.',
  ],
  [
    "experts that no model has",
    withConfig({ num_experts: 65_537 }),
    'm/config.json: "num_experts" is 65537, but a whole number from 0 to 65536 is expected.',
  ],
  [
    "a size of zero",
    withConfig({ num_hidden_layers: 0 }),
    'm/config.json: "num_hidden_layers" is 0, but a whole number from 1 on is expected.',
  ],
  [
    "a missing size",
    withConfig({ rms_norm_eps: null }),
    'm/config.json: "rms_norm_eps" is missing, but a number is expected.',
  ],
  [
    "rope scaling that llama.cpp does not have here",
    withConfig({ rope_scaling: { rope_type: "dynamic", factor: 2 } }),
    'm/config.json: rope scaling "dynamic" is not supported; "linear" and "yarn" are.',
  ],
  [
    "a special token beyond the vocabulary",
    withConfig({ pad_token_id: 6 }),
    'm/config.json: "pad_token_id" is 6, but an id below 6 is expected.',
  ],
  [
    "a config that is a list",
    { ...tinyFiles(), "config.json": [] },
    "m/config.json: is not a JSON object; download it again.",
  ],
];

test("an architecture that we do not know is refused with the known ones and the nearest", async () => {
  const folder = new MemoryFolder("m", withConfig({ architectures: ["MixtralForSequenceClassification"] }));
  await assert.rejects(openHuggingFaceModel(folder), {
    name: "MalformedInputError",
    message:
      /^m\/config\.json: the architecture "MixtralForSequenceClassification" cannot be converted; the nearest is MixtralForCausalLM \(known are BailingMoeV2ForCausalLM, .*, Qwen3_5MoeForConditionalGeneration\); use llama\.cpp's convert_hf_to_gguf\.py and give its GGUF file to Lopsided\.$/,
  });
  assert.deepEqual(folder.unclosed, []);
});

test("experts of different dtypes are read as float32, exactly", async () => {
  const tensors = tinyTensors();
  const name = "model.layers.0.mlp.experts.1.up_proj.weight";
  const half = new Uint8Array(1536);
  // 1.5 in F16, everywhere.
  new Uint16Array(half.buffer).fill(0x3e00);
  const model = await open(tinyFiles({ ...tensors, [name]: { dtype: "F16", shape: [24, 32], data: half } }));
  const mixed = model.tensors.find((tensor) => tensor.name === "blk.0.ffn_up_exps.weight")!;
  assert.equal(mixed.type, "F32");
  const weights = new Float32Array(3 * 24 * 32);
  decodeRows("F32", await bytesOf(model, mixed.name), weights);
  assert.deepEqual(new Set(weights.subarray(24 * 32, 2 * 24 * 32)), new Set([1.5]));
  const first = new Float32Array(24 * 32);
  decodeRows("BF16", tensors["model.layers.0.mlp.experts.0.up_proj.weight"]!.data, first);
  assert.deepEqual(weights.subarray(0, 24 * 32), first);
});

for (const [what, files, message] of refused) {
  test(`${what} is refused in one sentence, and no file stays open`, async () => {
    const folder = new MemoryFolder("m", files);
    await assert.rejects(openHuggingFaceModel(folder), { name: "MalformedInputError", message });
    assert.deepEqual(folder.unclosed, []);
  });
}

const jsonFiles = ["config.json", "tokenizer.json"] as const;
const sound = tinyFiles();

test("a JSON file cut off at any byte is refused", async () => {
  for (const file of jsonFiles) {
    const text = JSON.stringify(sound[file]);
    for (let length = 0; length < text.length; length++) {
      await assert.rejects(open({ ...sound, [file]: text.slice(0, length) }), {
        name: "MalformedInputError",
        message: new RegExp(`^m/${file}: is not valid JSON at character `),
      });
    }
  }
});

test("a folder with any value in its JSON files replaced is opened or refused as malformed", async () => {
  const values = fc.constantFrom(null, true, -1, 0, 1.5, 2 ** 32, 1e300, "", "x", [], [[]], {}, [{}]);
  const replacement = fc.record({ file: fc.constantFrom(...jsonFiles), place: fc.nat(200), value: values });
  await fc.assert(
    fc.asyncProperty(replacement, async ({ file, place, value }) => {
      let index = 0;
      const text = JSON.stringify(sound[file], (_, old) => (index++ === place ? value : old));
      const folder = new MemoryFolder("m", { ...sound, [file]: text });
      try {
        await (await openHuggingFaceModel(folder)).close();
      } catch (error) {
        assert.equal((error as Error).name, "MalformedInputError", `${text}: ${(error as Error).stack}`);
      }
      assert.deepEqual(folder.unclosed, []);
    }),
    { numRuns: 500 },
  );
});

test("a path that is no folder is refused", async () => {
  await assert.rejects(openHuggingFaceFolder("fixtures/no-such-folder"), { name: "EnvironmentError" });
  await assert.rejects(openHuggingFaceFolder("fixtures/tiny-moe/config.json"), { name: "EnvironmentError" });
});

test("linear and YaRN rope scaling become their keys", async () => {
  const keys = async (changes: object) => {
    const { metadata } = await open(withConfig(changes));
    return [...metadata]
      .filter(([key]) => key.includes(".rope."))
      .map(([key, { value }]) => `${key}=${value}`);
  };
  assert.deepEqual(await keys({ rope_scaling: { type: "linear", factor: 2 } }), [
    "qwen3moe.rope.scaling.type=linear",
    "qwen3moe.rope.scaling.factor=2",
    "qwen3moe.rope.freq_base=10000",
  ]);
  const yarn = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 128, beta_fast: 32 };
  assert.deepEqual(await keys({ rope_parameters: { ...yarn, rope_theta: 500 } }), [
    "qwen3moe.rope.scaling.type=yarn",
    "qwen3moe.rope.scaling.factor=4",
    "qwen3moe.rope.scaling.original_context_length=128",
    "qwen3moe.rope.scaling.yarn_beta_fast=32",
    "qwen3moe.rope.freq_base=500",
  ]);
  assert.deepEqual(await keys({ rope_parameters: { rope_type: "default", rope_theta: 7 } }), [
    "qwen3moe.rope.freq_base=7",
  ]);
});
