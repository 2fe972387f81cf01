/**
 * A model with fewer experts: in every layer as many, since llama.cpp reads one count for all. Matrices of the dropped
 * experts, their rows of the router and their biases are left out; the others stay as they are, in their order.
 */
import { InternalError, UsageError } from "../errors.js";
import type { Metadata, MetadataValue } from "../gguf/metadata.js";
import { rowBytes, traitsOf } from "../quants/types.js";
import { Architecture } from "./architecture.js";
import { sizeLabel } from "./huggingface/general/size-label.js";
import { layerOf } from "./roles.js";
import { type ModelSource, rowCount, type SourceTensor } from "./source.js";

/** Numbers of the experts that stay, ascending, by the number of the layer. */
export type KeptExperts = ReadonlyMap<number, readonly number[]>;

/** In the header of a pruned model: experts of the model it was made from, and which of them it has, layer by layer. */
const countKey = "lopsided.prune.experts";
const keptKey = "lopsided.prune.kept";

/** What has one part for each expert, along its last dimension. */
const byExpert =
  /^blk\.(\d+)\.(?:ffn_(?:gate|up|down|gate_up)_exps\.(?:weight|bias|scale|input_scale)|ffn_gate_inp\.(?:weight|bias)|exp_probs_b(?:_vl)?(?:\.\w+)?)$/;

/** Numbers of the layers that have routed experts, ascending. */
export function expertLayersOf(tensors: readonly { readonly name: string }[]): number[] {
  const layers = tensors.flatMap(({ name }) => (/\.ffn_down_exps\.weight$/.test(name) ? layerOf(name) : []));
  return [...new Set(layers.filter((layer) => layer !== undefined))].sort((a, b) => a - b);
}

/**
 * Throws a UsageError unless `experts` experts in each layer make a model that llama.cpp loads and routes as before:
 * where experts are chosen by groups, groups must stay equally large.
 */
export function checkPrunable({ name, metadata, tensors }: ModelSource, experts: number): void {
  const facts = new Architecture(metadata);
  const refused = (why: string, details = {}) =>
    new UsageError(`${name}: ${why}`, { model: name, ...details });
  if (expertLayersOf(tensors).length === 0) {
    throw refused("has no routed experts, or each in a tensor of its own; nothing can be pruned.");
  }
  if (experts >= facts.experts) {
    throw refused(`has ${facts.experts} experts in each layer; keep fewer than that with \`experts\`.`);
  }
  const routedByTable = tensors.find((tensor) => /\.ffn_gate_tid2eid\.|_chexps\./.test(tensor.name));
  if (routedByTable !== undefined) {
    throw refused(
      `${routedByTable.name} ties experts to tokens or to each other by their numbers; such a model cannot be pruned.`,
    );
  }
  const { groups, groupsUsed } = groupsOf(metadata);
  const perGroup = experts / groups;
  if (groups > 1 && (!Number.isInteger(perGroup) || perGroup < 2)) {
    throw refused(
      `chooses experts from ${groups} groups, whose two best count; keep a multiple of ${groups} experts, at least ${2 * groups}, not ${experts}.`,
      { groups },
    );
  }
  const used = Math.min(facts.expertsUsed, experts);
  if (groups > 1 && groupsUsed * perGroup < used) {
    throw refused(
      `a token takes ${used} experts out of ${groupsUsed} of ${groups} groups, which would have ${groupsUsed * perGroup}; keep more experts.`,
      { groups },
    );
  }
}

/** Groups that experts are chosen by, consecutive and equally large, and how many of them a token takes; 1 if none. */
export function groupsOf(metadata: Metadata): { readonly groups: number; readonly groupsUsed: number } {
  const facts = new Architecture(metadata);
  return {
    groups: Math.max(1, facts.number("expert_group_count") ?? 1),
    groupsUsed: Math.max(1, facts.number("expert_group_used_count") ?? 1),
  };
}

/**
 * The model with these experts alone, as many in each of its layers that have some. Tokens take no more experts than
 * there are. Throws a UsageError if a tensor has another number of experts than the metadata says.
 */
export function withPrunedExperts(source: ModelSource, kept: KeptExperts): ModelSource {
  const facts = new Architecture(source.metadata);
  const tensors = source.tensors.map((tensor) => {
    const layer = Number(byExpert.exec(tensor.name)?.[1]);
    const experts = kept.get(layer);
    return experts === undefined ? tensor : withParts(tensor, facts.experts, experts);
  });
  return { ...source, tensors, metadata: prunedMetadata(source, kept, tensors) };
}

/** The source as a model was made from it: without the experts that the model's header says were dropped. */
export function prunedLike(source: ModelSource, model: ModelSource): ModelSource {
  const has = keptExpertsOf(source);
  const wanted = keptExpertsOf(model);
  const first = expertLayersOf(model.tensors)[0];
  const count = first === undefined ? undefined : wanted?.get(first)?.length;
  if (wanted === undefined || count === undefined) {
    return source;
  }
  const own = new Architecture(source.metadata).experts;
  if (count >= own) {
    return source;
  }
  const kept = new Map(
    [...wanted].map(([layer, experts]) => {
      const before = has?.get(layer);
      const places = before === undefined ? experts : experts.map((expert) => before.indexOf(expert));
      return [layer, places];
    }),
  );
  const isPossible = [...kept.values()].flat().every((expert) => expert >= 0 && expert < own);
  return isPossible ? withPrunedExperts(source, kept) : source;
}

/** Which experts of the model it was made from a model has; undefined if it was not pruned, or its header does not fit. */
function keptExpertsOf({ metadata, tensors }: ModelSource): KeptExperts | undefined {
  const list = metadata.get(keptKey);
  if (list?.type !== "array" || list.itemType !== "uint32") {
    return undefined;
  }
  const layers = expertLayersOf(tensors);
  const { experts } = new Architecture(metadata);
  if (list.value.length !== layers.length * experts) {
    return undefined;
  }
  const numbers = list.value.map(Number);
  return new Map(layers.map((layer, i) => [layer, numbers.slice(i * experts, (i + 1) * experts)]));
}

function prunedMetadata(source: ModelSource, kept: KeptExperts, tensors: readonly SourceTensor[]): Metadata {
  const { metadata } = source;
  const { name: architecture, experts } = new Architecture(metadata);
  const counts = new Set([...kept.values()].map(({ length }) => length));
  const [count, ...others] = counts;
  const layers = expertLayersOf(source.tensors);
  if (count === undefined || others.length > 0 || layers.some((layer) => !kept.has(layer))) {
    throw new InternalError("layers keep different numbers of experts.");
  }
  const changed = new Map(metadata);
  const change = (key: string, with_: (value: MetadataValue) => MetadataValue) => {
    const value = metadata.get(key);
    if (value !== undefined) {
      changed.set(key, with_(value));
    }
  };
  const atMost = (value: MetadataValue) => mapNumbers(value, (number) => Math.min(number, count));
  change(`${architecture}.expert_count`, atMost);
  change(`${architecture}.expert_used_count`, atMost);
  change("general.name", (value) =>
    value.type === "string" ? { ...value, value: `${value.value} (${count} of ${experts} experts)` } : value,
  );
  change("general.size_label", () => ({ type: "string", value: sizeLabel(tensors) }));
  const before = keptExpertsOf(source);
  const numbers = layers.flatMap((layer) =>
    (kept.get(layer) ?? []).map((expert) => before?.get(layer)?.[expert] ?? expert),
  );
  return changed
    .set(countKey, metadata.get(countKey) ?? { type: "uint32", value: experts })
    .set(keptKey, { type: "array", itemType: "uint32", value: numbers });
}

function mapNumbers(value: MetadataValue, with_: (number: number) => number): MetadataValue {
  if (value.type === "array") {
    return { ...value, value: value.value.map((one) => with_(Number(one))) } as MetadataValue;
  }
  return { ...value, value: with_(Number(value.value)) } as MetadataValue;
}

/** A tensor of which only some parts along the last dimension are left. */
function withParts(tensor: SourceTensor, parts: number, kept: readonly number[]): SourceTensor {
  const { name, shape, type } = tensor;
  if (shape.at(-1) !== parts) {
    throw new UsageError(
      `${name}: has the shape [${shape.join(", ")}], but the metadata give ${parts} experts; the model cannot be pruned.`,
      { tensor: name },
    );
  }
  const pruned = [...shape.slice(0, -1), kept.length];
  if (shape.length === 1) {
    return {
      ...tensor,
      shape: pruned,
      readRows: async () => columnsOf(await tensor.readRows(0, 1), tensor, kept),
    };
  }
  const rowsPerPart = rowCount(shape) / parts;
  const bytesPerRow = rowBytes(type, shape[0] ?? 1);
  return {
    ...tensor,
    shape: pruned,
    readRows: async (first, count) => {
      const rows = new Uint8Array(count * bytesPerRow);
      let at = 0;
      while (at < count) {
        const row = first + at;
        const part = Math.floor(row / rowsPerPart);
        const run = consecutive(kept, part);
        const length = Math.min(count - at, (part + run) * rowsPerPart - row);
        const start = (kept[part] ?? 0) * rowsPerPart + (row % rowsPerPart);
        rows.set(await tensor.readRows(start, length), at * bytesPerRow);
        at += length;
      }
      return rows;
    },
  };
}

/** How many parts from this one on lie side by side in the source. */
function consecutive(kept: readonly number[], from: number): number {
  let run = 1;
  while (kept[from + run] === (kept[from] ?? 0) + run) {
    run++;
  }
  return run;
}

function columnsOf(row: Uint8Array, { name, type }: SourceTensor, kept: readonly number[]): Uint8Array {
  if (traitsOf(type).blockSize !== 1) {
    throw new UsageError(
      `${name}: its ${type} values cannot be taken apart; start from a model of wider types.`,
      {
        tensor: name,
      },
    );
  }
  const bytes = rowBytes(type, 1);
  const result = new Uint8Array(kept.length * bytes);
  for (const [i, column] of kept.entries()) {
    result.set(row.subarray(column * bytes, (column + 1) * bytes), i * bytes);
  }
  return result;
}
