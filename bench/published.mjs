// Checkpoints as they are published, by their shapes: Qwen3-235B-A22B in BF16 and DeepSeek-V3 in FP8 as sparse
// safetensors files (headers only; the weights are holes that take no room), with the time that looking at them
// takes; then one layer of each filled with random values and converted to BF16, beside a copy of the same bytes.
//
//   node bench/published.mjs [--folder DIR] [--experts 32] [--only look|convert] [--json FILE]
//
// With 32 of the experts the layers take 1.3 (BF16) and 1.6 GB (FP8), and their outputs 1.3 and 3.2 GB.
import { spawnSync } from "node:child_process";
import {
  closeSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { tinyTokenizer } from "../dist/testing/hugging-face-model.js";
import { uniform } from "../dist/testing/random.js";
import { writeResult } from "./result.mjs";

const { values: options } = parseArgs({
  options: {
    folder: { type: "string" },
    experts: { type: "string", default: "32" },
    only: { type: "string" },
    json: { type: "string", default: "out/bench-published.json" },
  },
});
const program = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const folder = options.folder ?? mkdtempSync(join(tmpdir(), "lopsided-published-"));
const shardBytes = 5e9;

/** config.json of Qwen/Qwen3-235B-A22B. */
const qwen3 = {
  architectures: ["Qwen3MoeForCausalLM"],
  ...{
    hidden_size: 4096,
    num_hidden_layers: 94,
    num_attention_heads: 64,
    num_key_value_heads: 4,
    head_dim: 128,
  },
  ...{ intermediate_size: 12288, moe_intermediate_size: 1536, num_experts: 128, num_experts_per_tok: 8 },
  ...{ decoder_sparse_step: 1, mlp_only_layers: [], max_position_embeddings: 40960, rms_norm_eps: 1e-6 },
  ...{ rope_theta: 1000000, tie_word_embeddings: false, vocab_size: 151936, torch_dtype: "bfloat16" },
};

/** config.json of deepseek-ai/DeepSeek-V3, without the layer that predicts a further token. */
const deepseek3 = {
  architectures: ["DeepseekV3ForCausalLM"],
  model_type: "deepseek_v3",
  ...{ hidden_size: 7168, num_hidden_layers: 61, num_attention_heads: 128, num_key_value_heads: 128 },
  ...{ q_lora_rank: 1536, kv_lora_rank: 512, qk_nope_head_dim: 128, qk_rope_head_dim: 64, v_head_dim: 128 },
  ...{ intermediate_size: 18432, moe_intermediate_size: 2048, n_routed_experts: 256, n_shared_experts: 1 },
  ...{ num_experts_per_tok: 8, first_k_dense_replace: 3, moe_layer_freq: 1, n_group: 8, topk_group: 4 },
  ...{ norm_topk_prob: true, routed_scaling_factor: 2.5, scoring_func: "sigmoid", topk_method: "noaux_tc" },
  ...{ max_position_embeddings: 163840, rms_norm_eps: 1e-6, rope_theta: 10000, vocab_size: 129280 },
  rope_scaling: {
    ...{ type: "yarn", factor: 40, original_max_position_embeddings: 4096 },
    ...{ beta_fast: 32, beta_slow: 1, mscale: 1, mscale_all_dim: 1 },
  },
  ...{ tie_word_embeddings: false, torch_dtype: "bfloat16", num_nextn_predict_layers: 0 },
  quantization_config: {
    ...{ quant_method: "fp8", fmt: "e4m3", activation_scheme: "dynamic", weight_block_size: [128, 128] },
  },
};

/** Names, dtypes and shapes of all tensors. */
function* qwen3Tensors(config) {
  const { hidden_size: hidden, moe_intermediate_size: width, vocab_size: vocabulary } = config;
  const [queries, keys] = [config.num_attention_heads, config.num_key_value_heads].map(
    (heads) => heads * config.head_dim,
  );
  yield ["lm_head.weight", "BF16", vocabulary, hidden];
  yield ["model.embed_tokens.weight", "BF16", vocabulary, hidden];
  yield ["model.norm.weight", "BF16", hidden];
  for (let index = 0; index < config.num_hidden_layers; index++) {
    const layer = `model.layers.${index}`;
    yield [`${layer}.input_layernorm.weight`, "BF16", hidden];
    yield [`${layer}.post_attention_layernorm.weight`, "BF16", hidden];
    yield [`${layer}.self_attn.q_proj.weight`, "BF16", queries, hidden];
    yield [`${layer}.self_attn.k_proj.weight`, "BF16", keys, hidden];
    yield [`${layer}.self_attn.v_proj.weight`, "BF16", keys, hidden];
    yield [`${layer}.self_attn.o_proj.weight`, "BF16", hidden, queries];
    yield [`${layer}.self_attn.q_norm.weight`, "BF16", config.head_dim];
    yield [`${layer}.self_attn.k_norm.weight`, "BF16", config.head_dim];
    yield [`${layer}.mlp.gate.weight`, "BF16", config.num_experts, hidden];
    for (let expert = 0; expert < config.num_experts; expert++) {
      const prefix = `${layer}.mlp.experts.${expert}`;
      yield [`${prefix}.gate_proj.weight`, "BF16", width, hidden];
      yield [`${prefix}.up_proj.weight`, "BF16", width, hidden];
      yield [`${prefix}.down_proj.weight`, "BF16", hidden, width];
    }
  }
}

function* deepseek3Tensors(config) {
  const { hidden_size: hidden, moe_intermediate_size: width, vocab_size: vocabulary } = config;
  const { num_attention_heads: heads, q_lora_rank: queryRank, kv_lora_rank: rank } = config;
  const [nope, rope, value] = [config.qk_nope_head_dim, config.qk_rope_head_dim, config.v_head_dim];
  function* fp8(name, rows, columns) {
    yield [`${name}.weight`, "F8_E4M3", rows, columns];
    yield [`${name}.weight_scale_inv`, "F32", Math.ceil(rows / 128), Math.ceil(columns / 128)];
  }
  function* feedForward(prefix, size) {
    yield* fp8(`${prefix}.gate_proj`, size, hidden);
    yield* fp8(`${prefix}.up_proj`, size, hidden);
    yield* fp8(`${prefix}.down_proj`, hidden, size);
  }
  yield ["lm_head.weight", "BF16", vocabulary, hidden];
  yield ["model.embed_tokens.weight", "BF16", vocabulary, hidden];
  yield ["model.norm.weight", "BF16", hidden];
  for (let index = 0; index < config.num_hidden_layers; index++) {
    const layer = `model.layers.${index}`;
    yield [`${layer}.input_layernorm.weight`, "BF16", hidden];
    yield [`${layer}.post_attention_layernorm.weight`, "BF16", hidden];
    yield* fp8(`${layer}.self_attn.q_a_proj`, queryRank, hidden);
    yield [`${layer}.self_attn.q_a_layernorm.weight`, "BF16", queryRank];
    yield* fp8(`${layer}.self_attn.q_b_proj`, heads * (nope + rope), queryRank);
    yield* fp8(`${layer}.self_attn.kv_a_proj_with_mqa`, rank + rope, hidden);
    yield [`${layer}.self_attn.kv_a_layernorm.weight`, "BF16", rank];
    yield* fp8(`${layer}.self_attn.kv_b_proj`, heads * (nope + value), rank);
    yield* fp8(`${layer}.self_attn.o_proj`, hidden, heads * value);
    if (index < config.first_k_dense_replace) {
      yield* feedForward(`${layer}.mlp`, config.intermediate_size);
      continue;
    }
    yield [`${layer}.mlp.gate.weight`, "BF16", config.n_routed_experts, hidden];
    yield [`${layer}.mlp.gate.e_score_correction_bias`, "F32", config.n_routed_experts];
    yield* feedForward(`${layer}.mlp.shared_experts`, width);
    for (let expert = 0; expert < config.n_routed_experts; expert++) {
      yield* feedForward(`${layer}.mlp.experts.${expert}`, width);
    }
  }
}

const widths = { BF16: 2, F32: 4, F8_E4M3: 1 };

/** A block of finite values of a dtype, small ones, to be repeated. */
function randomBlock(dtype) {
  const random = uniform(1);
  const count = 2 ** 20 + 7; // odd, so that rows differ
  if (dtype === "F8_E4M3") {
    // The byte of all ones below the sign is not a number.
    return Uint8Array.from({ length: count }, () => Math.floor(random() * 127) | (random() < 0.5 ? 128 : 0));
  }
  const floats = Float32Array.from({ length: count }, () => (random() - 0.5) / 16);
  if (dtype === "F32") {
    return new Uint8Array(floats.buffer);
  }
  const words = new Uint32Array(floats.buffer);
  return new Uint8Array(Uint16Array.from(words, (word) => word >>> 16).buffer);
}

/** Writes a checkpoint in shards; holes unless it is filled. Returns its bytes and tensors. */
function writeCheckpoint(path, config, tensors, isFilled) {
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, "config.json"), JSON.stringify(config));
  writeFileSync(join(path, "tokenizer.json"), JSON.stringify(tinyTokenizer));
  writeFileSync(join(path, "tokenizer_config.json"), "{}");
  const shards = [[]];
  let [bytes, inShard, count] = [0, 0, 0];
  for (const [name, dtype, ...shape] of tensors) {
    const length = widths[dtype] * shape.reduce((product, size) => product * size, 1);
    if (inShard + length > shardBytes) {
      shards.push([]);
      inShard = 0;
    }
    shards.at(-1).push({ name, dtype, shape, begin: inShard, length });
    inShard += length;
    bytes += length;
    count++;
  }
  const map = {};
  for (const [index, entries] of shards.entries()) {
    const number = (value) => String(value).padStart(5, "0");
    const file = `model-${number(index + 1)}-of-${number(shards.length)}.safetensors`;
    const header = {};
    for (const { name, dtype, shape, begin, length } of entries) {
      header[name] = { dtype, shape, data_offsets: [begin, begin + length] };
      map[name] = file;
    }
    writeShard(join(path, file), Buffer.from(JSON.stringify(header)), entries, isFilled);
  }
  const total = { metadata: { total_size: bytes }, weight_map: map };
  writeFileSync(join(path, "model.safetensors.index.json"), JSON.stringify(total));
  return { bytes, tensors: count, shards: shards.length };
}

function writeShard(path, header, entries, isFilled) {
  const fd = openSync(path, "w");
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  writeSync(fd, length);
  writeSync(fd, header);
  const start = 8 + header.length;
  const last = entries.at(-1);
  ftruncateSync(fd, start + last.begin + last.length);
  for (const entry of isFilled ? entries : []) {
    const block = blocks[entry.dtype];
    for (let done = 0; done < entry.length; done += block.length) {
      const part = block.subarray(0, Math.min(block.length, entry.length - done));
      writeSync(fd, part, 0, part.length, start + entry.begin + done);
    }
  }
  fsyncSync(fd);
  closeSync(fd);
}

const blocks = Object.fromEntries(Object.keys(widths).map((dtype) => [dtype, randomBlock(dtype)]));

/** Runs a command of ours; its seconds, CPU seconds and peak memory. */
function timed(args) {
  const started = performance.now();
  const { status, stdout, stderr } = spawnSync(
    "/usr/bin/time",
    ["-f", "%U %S %M", process.execPath, program, ...args],
    {
      encoding: "utf8",
      maxBuffer: 2 ** 30,
    },
  );
  const seconds = (performance.now() - started) / 1000;
  const lines = stderr.trim().split("\n");
  const [user = 0, system = 0, kilobytes = 0] = (lines.pop() ?? "").split(" ").map(Number);
  if (status !== 0) {
    throw new Error(`${args.join(" ")}: ${lines.join("\n")}`);
  }
  return { seconds, cpuSeconds: user + system, peakBytes: kilobytes * 1024, stdout };
}

/** Seconds in which the files of a folder are copied and are on the disk. */
function copySeconds(from, to) {
  const started = performance.now();
  const buffer = Buffer.alloc(2 ** 24);
  for (const name of readdirSync(from)) {
    const [input, output] = [openSync(join(from, name), "r"), openSync(`${to}-${name}`, "w")];
    for (let read = readSync(input, buffer); read > 0; read = readSync(input, buffer)) {
      writeSync(output, buffer, 0, read);
    }
    fsyncSync(output);
    closeSync(input);
    closeSync(output);
    rmSync(`${to}-${name}`);
  }
  return (performance.now() - started) / 1000;
}

function look(title, config, tensorsOf) {
  const path = join(folder, title);
  const made = writeCheckpoint(path, config, tensorsOf(config), false);
  console.log(
    `${title}: ${(made.bytes / 1e9).toFixed(0)} GB, ${made.tensors} tensors in ${made.shards} shards`,
  );
  const commands = {
    inspect: ["inspect", path],
    fit: ["fit", path, "--memory", "128GB", "--recipe", "asym-2bit-experts"],
    "quantize --dry-run": ["quantize", path, join(folder, "out.gguf"), "--recipe", "Q4_K_M", "--dry-run"],
  };
  const results = {};
  for (const [name, args] of Object.entries(commands)) {
    const { stdout: _, ...found } = timed([...args, "--json"]);
    results[name] = found;
    console.log(
      `  ${name}: ${found.seconds.toFixed(1)} s, ${found.cpuSeconds.toFixed(1)} s of CPU time, ${(found.peakBytes / 1e6).toFixed(0)} MB`,
    );
  }
  rmSync(path, { recursive: true });
  return { title, ...made, commands: results };
}

function convert(title, config, tensorsOf) {
  const path = join(folder, title);
  const output = join(folder, `${title}.gguf`);
  const made = writeCheckpoint(path, config, tensorsOf(config), true);
  const { stdout: _, ...run } = timed(["convert", path, output, "--type", "bf16", "--json"]);
  const written = statSync(output).size;
  rmSync(output);
  const copied = copySeconds(path, join(folder, "copy"));
  rmSync(path, { recursive: true });
  const rate = made.bytes / run.seconds / 1e6;
  console.log(
    `${title}: ${(made.bytes / 1e9).toFixed(2)} GB read, ${(written / 1e9).toFixed(2)} GB written, ${run.seconds.toFixed(1)} s, ` +
      `${run.cpuSeconds.toFixed(1)} s of CPU time, ${rate.toFixed(0)} MB/s of the source, ${(run.peakBytes / 1e6).toFixed(0)} MB; ` +
      `copying the source ${copied.toFixed(1)} s, ${(made.bytes / copied / 1e6).toFixed(0)} MB/s`,
  );
  return { title, ...made, written, ...run, copySeconds: copied };
}

try {
  const experts = Number(options.experts);
  const results = {
    experts,
    looked:
      options.only === "convert"
        ? []
        : [look("Qwen3-235B-A22B", qwen3, qwen3Tensors), look("DeepSeek-V3", deepseek3, deepseek3Tensors)],
    converted:
      options.only === "look"
        ? []
        : [
            convert(
              "Qwen3-235B-A22B, one layer",
              { ...qwen3, num_hidden_layers: 1, num_experts: experts, vocab_size: 1024 },
              qwen3Tensors,
            ),
            convert(
              "DeepSeek-V3, one layer",
              {
                ...deepseek3,
                ...{
                  num_hidden_layers: 1,
                  first_k_dense_replace: 0,
                  n_routed_experts: experts,
                  vocab_size: 1024,
                },
              },
              deepseek3Tensors,
            ),
          ],
  };
  writeResult(options.json, results);
} finally {
  if (options.folder === undefined) {
    rmSync(folder, { recursive: true });
  }
}
