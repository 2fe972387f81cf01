/**
 * The imatrix as GGUF. Layout, as `save_imatrix` in llama.cpp `tools/imatrix/imatrix.cpp` writes it: for every
 * weight two F32 tensors, "<weight>.in_sum2" [columns, matrices] with the sums of squares and "<weight>.counts"
 * [1, matrices]; metadata `general.type` = "imatrix", `imatrix.datasets`, `imatrix.chunk_count` and
 * `imatrix.chunk_size`. Ours adds "<weight>.out_norm" [matrices] for what routed experts add to their layer, if it was
 * asked for (llama.cpp passes over tensors whose names end otherwise), `lopsided.imatrix.sketch`, by which the
 * calibration text is recognized, `lopsided.imatrix.prior_weight` if a prior was asked for, and `lopsided.imatrix.run`
 * and `lopsided.imatrix.window` in checkpoints.
 */

import { bytesOf, floatsOf } from "../bytes/floats.js";
import type { ByteSource } from "../bytes/source.js";
import { MalformedInputError } from "../errors.js";
import { planGguf } from "../gguf/layout.js";
import { type Metadata, type MetadataValue, metadataNumber, metadataString } from "../gguf/metadata.js";
import { type GgufTensor, readGgufHeader } from "../gguf/reader.js";
import { sketchIn, sketchKey } from "../text/calibration-sketch.js";
import { checkSums, entryError } from "./checks.js";
import { type Imatrix, type ImatrixEntry, sortedNames } from "./imatrix.js";

const priorKey = "lopsided.imatrix.prior_weight";
const runKey = "lopsided.imatrix.run";
const windowKey = "lopsided.imatrix.window";
const sumsSuffix = ".in_sum2";
const countsSuffix = ".counts";
const outputsSuffix = ".out_norm";

/** Reads an imatrix in GGUF. Throws a MalformedInputError that names the file and the entry. */
export async function readImatrixGguf(source: ByteSource): Promise<Imatrix> {
  const { metadata, tensors } = await readGgufHeader(source);
  const facts = factsOf(source.name, metadata);
  const sums = bySuffix(tensors, sumsSuffix);
  const counts = bySuffix(tensors, countsSuffix);
  const outputs = bySuffix(tensors, outputsSuffix);
  for (const name of counts.keys()) {
    if (!sums.has(name)) {
      throw entryError(source.name, name, "has counts but no sums.");
    }
  }
  const entries = new Map<string, ImatrixEntry>();
  for (const [name, sumsTensor] of sums) {
    const countsTensor = counts.get(name);
    if (countsTensor === undefined) {
      throw entryError(source.name, name, "has sums but no counts.");
    }
    const entry = await readEntry(source, name, sumsTensor, countsTensor);
    const outputsTensor = outputs.get(name);
    entries.set(name, outputsTensor ? await withOutputs(source, name, entry, outputsTensor) : entry);
  }
  if (entries.size === 0) {
    throw new MalformedInputError(
      `${source.name}: is an importance matrix without entries. Compute it again.`,
      {
        file: source.name,
      },
    );
  }
  return { name: source.name, format: "gguf", entries, ...facts };
}

/** The parts of an imatrix in GGUF, in order: the header, then each tensor and its padding. */
export function* ggufParts(imatrix: Imatrix): Generator<Uint8Array> {
  const contents = sortedNames(imatrix).flatMap((name) => tensorsOf(name, imatrix.entries.get(name)));
  const layout = planGguf({
    metadata: metadataOf(imatrix),
    tensors: contents.map(({ name, shape }) => ({ name, shape, type: "F32" as const })),
  });
  yield layout.header;
  let written = layout.header.byteLength;
  for (const [i, { values }] of contents.entries()) {
    yield new Uint8Array((layout.tensors[i]?.offset ?? written) - written);
    yield bytesOf(values);
    written = (layout.tensors[i]?.offset ?? written) + values.byteLength;
  }
  yield new Uint8Array(layout.byteLength - written);
}

function factsOf(
  file: string,
  metadata: Metadata,
): Pick<Imatrix, "datasets" | "chunkCount" | "chunkSize" | "priorWeight" | "sketch" | "run" | "window"> {
  const type = metadataString(metadata, "general.type");
  const datasets = metadata.get("imatrix.datasets");
  const chunkCount = metadataNumber(metadata, "imatrix.chunk_count");
  const chunkSize = metadataNumber(metadata, "imatrix.chunk_size");
  if (datasets?.type !== "array" || datasets.itemType !== "string" || !isCount(chunkCount)) {
    throw new MalformedInputError(
      `${file}: is not an importance matrix but a GGUF file of type "${type ?? "model"}"; its metadata lack imatrix.datasets or imatrix.chunk_count. Name a file made by "lopsided imatrix" or llama-imatrix.`,
      { file },
    );
  }
  if (!isCount(chunkSize) || chunkSize === 0) {
    throw new MalformedInputError(
      `${file}: imatrix.chunk_size is ${chunkSize ?? "missing"}; it is the number of tokens in a chunk. Compute the imatrix again.`,
      { file },
    );
  }
  const priorWeight = metadataNumber(metadata, priorKey);
  if (priorWeight !== undefined && !(priorWeight >= 0 && priorWeight < Infinity)) {
    throw new MalformedInputError(
      `${file}: ${priorKey} is ${priorWeight}; it is a finite number of tokens, 0 or more.`,
      {
        file,
      },
    );
  }
  return {
    datasets: datasets.value,
    chunkCount,
    chunkSize,
    priorWeight,
    sketch: sketchIn(metadata),
    run: metadataString(metadata, runKey),
    window: metadataNumber(metadata, windowKey),
  };
}

function isCount(value: number | undefined): value is number {
  return value !== undefined && Number.isSafeInteger(value) && value >= 0;
}

/** Tensors whose name ends with `suffix`, by the name before it. Other tensors are someone else's. */
function bySuffix(tensors: readonly GgufTensor[], suffix: string): Map<string, GgufTensor> {
  return new Map(
    tensors
      .filter(({ name }) => name.endsWith(suffix))
      .map((tensor) => [tensor.name.slice(0, -suffix.length), tensor]),
  );
}

async function readEntry(
  source: ByteSource,
  name: string,
  sumsTensor: GgufTensor,
  countsTensor: GgufTensor,
): Promise<ImatrixEntry> {
  if (sumsTensor.type !== "F32" || countsTensor.type !== "F32") {
    throw entryError(source.name, name, `has type ${sumsTensor.type}/${countsTensor.type}, not F32.`);
  }
  const sums = floatsOf(await source.read(sumsTensor.offset, sumsTensor.byteLength));
  const counts = floatsOf(await source.read(countsTensor.offset, countsTensor.byteLength));
  if (counts.length === 0 || sums.length === 0 || sums.length % counts.length !== 0) {
    throw entryError(source.name, name, `has ${sums.length} sums for ${counts.length} counts.`);
  }
  checkSums(source.name, name, sums);
  return { sums, counts: Float64Array.from(counts, (count) => wholeCount(source.name, name, count)) };
}

async function withOutputs(
  source: ByteSource,
  name: string,
  entry: ImatrixEntry,
  tensor: GgufTensor,
): Promise<ImatrixEntry> {
  const matrices = entry.counts.length;
  if (tensor.type !== "F32" || tensor.byteLength !== 4 * matrices) {
    throw entryError(source.name, name, `has outputs of another shape than [${matrices}] of F32.`);
  }
  const outputs = floatsOf(await source.read(tensor.offset, tensor.byteLength));
  if (!outputs.every((value) => value >= 0 && value < Infinity)) {
    throw entryError(source.name, name, "has outputs that are no finite numbers from 0 up.");
  }
  return { ...entry, outputs };
}

function wholeCount(file: string, name: string, count: number): number {
  if (count >= 0 && count <= Number.MAX_SAFE_INTEGER) {
    return Math.round(count);
  }
  throw entryError(file, name, `counts ${count} tokens.`);
}

function tensorsOf(name: string, entry: ImatrixEntry | undefined) {
  if (entry === undefined) {
    return [];
  }
  const matrices = entry.counts.length;
  return [
    {
      name: name + sumsSuffix,
      shape: matrixShape(entry.sums.length / matrices, matrices),
      values: entry.sums,
    },
    { name: name + countsSuffix, shape: matrixShape(1, matrices), values: Float32Array.from(entry.counts) },
    ...(entry.outputs ? [{ name: name + outputsSuffix, shape: [matrices], values: entry.outputs }] : []),
  ];
}

/** Trailing dimensions of one are not stored. */
function matrixShape(columns: number, matrices: number): number[] {
  return matrices === 1 ? [columns] : [columns, matrices];
}

function metadataOf(imatrix: Imatrix): Metadata {
  const metadata = new Map<string, MetadataValue>([
    ["general.type", { type: "string", value: "imatrix" }],
    ["imatrix.datasets", { type: "array", itemType: "string", value: imatrix.datasets }],
    ["imatrix.chunk_count", { type: "uint32", value: imatrix.chunkCount }],
    ["imatrix.chunk_size", { type: "uint32", value: imatrix.chunkSize }],
  ]);
  if (imatrix.priorWeight !== undefined) {
    metadata.set(priorKey, { type: "float32", value: imatrix.priorWeight });
  }
  if (imatrix.sketch !== undefined) {
    metadata.set(sketchKey, { type: "array", itemType: "uint32", value: [...imatrix.sketch] });
  }
  if (imatrix.window !== undefined) {
    metadata.set(windowKey, { type: "uint32", value: imatrix.window });
  }
  if (imatrix.run !== undefined) {
    metadata.set(runKey, { type: "string", value: imatrix.run });
  }
  return metadata;
}
