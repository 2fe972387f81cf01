/**
 * The older imatrix format, `.dat`. Layout (little-endian), as `save_imatrix_legacy` in llama.cpp
 * `tools/imatrix/imatrix.cpp` writes it:
 *
 *     int32 entries
 *     entries times: int32 nameLength, name, int32 calls, int32 values, float32[values]: mean of squares x calls
 *     optionally:    int32 chunks, int32 datasetLength, dataset
 */

import { bytesOf, floatsOf } from "../bytes/floats.js";
import type { ByteSource } from "../bytes/source.js";
import { checkRange } from "../bytes/source-range.js";
import { MalformedInputError } from "../errors.js";
import { checkSums, entryError } from "./checks.js";
import { type Imatrix, type ImatrixEntry, mostTokens, sortedNames } from "./imatrix.js";

/** Longest name or path believed: tensor names have 64 bytes in ggml, paths 4096 on Linux. */
const longestText = 65536;

/** Reads a `.dat` file. Throws a MalformedInputError that names the file and the entry. */
export async function readDat(source: ByteSource): Promise<Imatrix> {
  const cursor = new Cursor(source);
  const count = await cursor.int32();
  // An entry has at least three lengths, a letter and a value.
  if (count < 1 || count > source.byteLength / 17) {
    throw new MalformedInputError(
      `${source.name}: is not an importance matrix: neither GGUF nor .dat (as .dat it would have ${count} entries in ${source.byteLength} bytes).`,
      { file: source.name },
    );
  }
  const entries = new Map<string, ImatrixEntry>();
  for (let i = 0; i < count; i++) {
    const name = await cursor.text(await cursor.int32(), `the name of entry ${i + 1} of ${count}`);
    if (name === "" || entries.has(name)) {
      throw entryError(source.name, name, name === "" ? "has no name." : "occurs twice.");
    }
    const calls = await cursor.int32();
    const values = await cursor.int32();
    if (calls < 0 || values < 1) {
      throw entryError(source.name, name, `has ${calls} calls, ${values} values.`);
    }
    const sums = floatsOf(await cursor.bytes(4 * values));
    checkSums(source.name, name, sums);
    entries.set(name, { sums, counts: Float64Array.of(calls) });
  }
  const chunkCount = cursor.remaining > 0 ? await cursor.int32() : 0;
  const dataset = cursor.remaining > 0 ? await cursor.text(await cursor.int32(), "the dataset's path") : "";
  if (chunkCount < 0 || cursor.remaining > 0) {
    throw new MalformedInputError(
      `${source.name}: has ${cursor.remaining} bytes after its end and says ${chunkCount} chunks. The file is damaged; copy or compute it again.`,
      { file: source.name },
    );
  }
  return {
    name: source.name,
    format: "dat",
    entries,
    datasets: dataset === "" ? [] : [dataset],
    chunkCount,
    chunkSize: 0,
    priorWeight: undefined,
  };
}

/**
 * The parts of a `.dat` file, in order. As llama-imatrix does it, an expert that saw no token is written as 1
 * per column, a tensor whose experts all saw none is left out, and only the latest dataset is named.
 */
export function* datParts(imatrix: Imatrix): Generator<Uint8Array> {
  const encoder = new TextEncoder();
  const stored = sortedNames(imatrix).filter((name) => {
    const entry = imatrix.entries.get(name);
    return entry !== undefined && (imatrix.format === "dat" || mostTokens(entry) > 0);
  });
  yield int32s(stored.length);
  for (const name of stored) {
    const entry = imatrix.entries.get(name);
    if (entry === undefined) {
      continue;
    }
    const text = encoder.encode(name);
    const { calls, values } =
      imatrix.format === "dat" ? asRead(entry) : scaledMeans(entry, imatrix.chunkSize);
    yield int32s(text.byteLength);
    yield text;
    yield int32s(calls, values.length);
    yield bytesOf(values);
  }
  const dataset = encoder.encode(imatrix.datasets.at(-1) ?? "");
  yield int32s(imatrix.chunkCount, dataset.byteLength);
  yield dataset;
}

function asRead(entry: ImatrixEntry): { calls: number; values: Float32Array } {
  return { calls: entry.counts[0] ?? 0, values: entry.sums };
}

/** Means times calls, rounded to float32 after each step as llama-imatrix does. */
function scaledMeans(entry: ImatrixEntry, chunkSize: number): { calls: number; values: Float32Array } {
  const calls = Math.ceil(mostTokens(entry) / chunkSize);
  const columns = entry.sums.length / entry.counts.length;
  const values = new Float32Array(entry.sums.length);
  entry.counts.forEach((tokens, matrix) => {
    const count = Math.fround(tokens);
    for (let i = matrix * columns; i < (matrix + 1) * columns; i++) {
      values[i] = count === 0 ? calls : Math.fround((entry.sums[i] ?? 0) / count) * calls;
    }
  });
  return { calls, values };
}

function int32s(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of values.entries()) {
    view.setInt32(4 * i, value, true);
  }
  return bytes;
}

/** Reads one thing after another, each checked against what is left of the source. */
class Cursor {
  #offset = 0;

  readonly #source: ByteSource;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  get remaining(): number {
    return this.#source.byteLength - this.#offset;
  }

  async bytes(length: number): Promise<Uint8Array> {
    checkRange(this.#source, this.#offset, length);
    const bytes = await this.#source.read(this.#offset, length);
    this.#offset += length;
    return bytes;
  }

  async int32(): Promise<number> {
    const bytes = await this.bytes(4);
    return new DataView(bytes.buffer, bytes.byteOffset, 4).getInt32(0, true);
  }

  async text(length: number, what: string): Promise<string> {
    if (length < 0 || length > longestText) {
      throw new MalformedInputError(
        `${this.#source.name}: ${what} would be ${length} bytes long. The file is damaged or is not an importance matrix.`,
        { file: this.#source.name, offset: this.#offset },
      );
    }
    return new TextDecoder().decode(await this.bytes(length));
  }
}
