/** Writes tiny models of the architectures in the tables, with random weights that llama.cpp can compute with. */
import { open } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { bytesOf } from "../../bytes/floats.js";
import type { Engine } from "../../engine/engine.js";
import { planGguf } from "../../gguf/layout.js";
import type { Metadata } from "../../gguf/metadata.js";
import { openModel } from "../../model/open.js";
import { weightCount } from "../../model/source.js";
import type { TypeName } from "../../quants/types.js";
import { ggmlEncode } from "../ggml.js";
import { type PlainValue, plainMetadata } from "../gguf-file.js";
import { fill, gaussian } from "../random.js";
import { tinyArchitectures } from "./index.js";
import { commonKeys, type TinyArchitecture } from "./parts.js";
import { findWantedTensors, type WantedTensor } from "./wanted-tensors.js";

/** A model whose tokenizer the tiny ones take. */
const tokenizerOf = new URL("../../../fixtures/tiny-moe-q8_0.gguf", import.meta.url);

/**
 * Writes the tiny model of a name in `tinyArchitectures` to a file. The same name gives the same bytes.
 * @param engine asks llama.cpp which tensors it wants
 * @param keys in place of, or beside, the keys of the table
 */
export async function writeTinyModel(
  engine: Engine,
  name: string,
  path: string,
  keys: TinyArchitecture["keys"] = {},
): Promise<void> {
  const listed = tinyArchitectures[name];
  const tiny = listed && { ...listed, keys: { ...listed.keys, ...keys } };
  if (tiny === undefined) {
    throw new RangeError(
      `no tiny model is named ${name}; there are ${Object.keys(tinyArchitectures).join(", ")}`,
    );
  }
  const metadata = await metadataOf(name, tiny);
  const wanted = await engine.run(findWantedTensors, {
    metadata: withoutTokenizer(metadata),
    optional: optionalTensors(tiny),
  });
  const tensors = wanted.map(({ name: tensor, shape }) => ({
    name: tensor,
    shape,
    type: typeOf(tensor, shape, tiny),
  }));
  const layout = planGguf({ metadata, tensors });
  const file = await open(path, "w");
  try {
    await file.write(layout.header, 0, layout.header.byteLength, 0);
    for (const { offset, ...tensor } of layout.tensors) {
      const bytes = contents(tensor, name, tiny);
      await file.write(bytes, 0, bytes.byteLength, offset);
    }
    await file.truncate(layout.byteLength);
  } finally {
    await file.close();
  }
}

async function metadataOf(name: string, { architecture, layers, keys }: TinyArchitecture): Promise<Metadata> {
  const source = await openModel(fileURLToPath(tokenizerOf));
  await source.close();
  const tokenizer = [...source.metadata].filter(([key]) => key.startsWith("tokenizer."));
  const tokens = source.metadata.get("tokenizer.ggml.tokens");
  const all = { block_count: layers, ...commonKeys, ...keys };
  const entries = Object.entries(all).flatMap(([key, value]): [string, PlainValue][] =>
    value === undefined ? [] : [[`${architecture}.${key}`, value]],
  );
  return new Map([
    ...plainMetadata({
      "general.architecture": architecture,
      "general.type": "model",
      "general.name": `Random ${name}`,
      "general.file_type": 1,
      "general.quantization_version": 2,
      ...Object.fromEntries(entries),
      [`${architecture}.vocab_size`]: tokens?.type === "array" ? tokens.value.length : 0,
    }),
    ...tokenizer,
  ]);
}

/** Which is read anew by every load, and has no part in what tensors there are. */
function withoutTokenizer(metadata: Metadata): Metadata {
  const others = [...metadata].filter(([key]) => !key.startsWith("tokenizer."));
  return new Map([...others, ["tokenizer.ggml.model", { type: "string", value: "no_vocab" }]]);
}

function optionalTensors({ architecture: _, ...tiny }: TinyArchitecture) {
  const layers = Array.from({ length: tiny.layers }, (_, layer) => layer);
  const named = tiny.optional.flatMap((text) => {
    const [, name = "", place, sizes] = /^([^@=]+)(?:@([-\d,]+))?(?:=([\dx]+))?$/.exec(text) ?? [];
    const shape = sizes === undefined ? {} : { shape: sizes.split("x").map(Number) };
    if (place === "-") {
      return [{ name, ...shape }];
    }
    const numbers = place === undefined ? layers : place.split(",").map(Number);
    return numbers.map((layer) => ({ name: `blk.${layer}.${name}`, ...shape }));
  });
  // What llama.cpp looks for to know whether the file has the trunk and the layers after it.
  const { nextn_predict_layers: count } = tiny.keys;
  const nextn =
    typeof count !== "number"
      ? []
      : [
          { name: "blk.0.attn_norm.weight" },
          ...layers.slice(-count).map((layer) => ({ name: `blk.${layer}.nextn.eh_proj.weight` })),
        ];
  return [...nextn, ...(tiny.tied ? [] : [{ name: "output.weight" }]), ...named];
}

/** What converters leave in float32. */
const keptInFloat =
  /norm|ssm_(a|d|conv|dt)|conv1d|shortconv\.conv|ffn_gate_inp|exp_probs|sinks|scale|hc_|rope_|position|lerp|time_mix_(w|k|r|first|decay)|ape|(^|\.)cls|tid2eid|ln\./;

function typeOf(name: string, shape: readonly number[], { experts }: TinyArchitecture): TypeName {
  if (shape.length < 2 || keptInFloat.test(name) || !name.endsWith(".weight")) {
    return "F32";
  }
  return /_exps\.weight$/.test(name) ? (experts ?? "F16") : "F16";
}

function contents(
  { name, shape, type }: WantedTensor & { readonly type: TypeName },
  model: string,
  tiny: TinyArchitecture,
): Uint8Array {
  const next = gaussian(seedOf(`${model}/${name}`));
  const weights = fill(weightCount(shape), distribution(name, shape, tiny, next));
  return type === "F32" ? bytesOf(weights) : ggmlEncode(type, weights, shape[0] ?? 1);
}

/** Values of the size that trained models have, so that nothing overflows or dies out on the way. */
function distribution(
  name: string,
  [columns = 1]: readonly number[],
  { architecture, tied }: TinyArchitecture,
  next: () => number,
): () => number {
  if (/ssm_a$/.test(name)) {
    return () => -Math.exp(next() * 0.5);
  }
  if (architecture === "gemma4" && /attn_[qk]_norm/.test(name)) {
    return () => 0.3 + 0.03 * next();
  }
  if (/norm.*weight$|ssm_d$|(\.scale|out_scale\.weight)$|hc_.*scale/.test(name)) {
    return () => 1 + 0.1 * next();
  }
  if (/rope_(freqs|factors)/.test(name)) {
    return () => 1;
  }
  if (/\.bias$|sinks|hc_/.test(name)) {
    return () => 0.05 * next();
  }
  if (/conv/.test(name)) {
    return () => 0.5 * next();
  }
  if (/token_embd/.test(name)) {
    return () => (tied ? 0.06 : 0.5) * next();
  }
  // Columns of different size, as an importance matrix finds them.
  const sizes = fill(columns, () => Math.exp(0.3 * next()) / Math.sqrt(columns));
  let column = -1;
  return () => {
    column = (column + 1) % columns;
    return (sizes[column] ?? 1) * next();
  };
}

/** FNV-1a. */
function seedOf(text: string): number {
  let hash = 2166136261;
  for (const character of text) {
    hash = Math.imul(hash ^ character.charCodeAt(0), 16777619);
  }
  return hash;
}
