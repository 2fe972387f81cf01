/**
 * Moments on disk: GGUF with `general.type` = "moments", and for every input two F32 tensors, "<input>.moments"
 * [n (n + 1) / 2, matrices], each matrix packed as in `packed.ts`, and "<input>.counts" [1, matrices], the vectors
 * behind each. Metadata: `moments.datasets` (paths of the texts), `moments.chunk_count`, `moments.chunk_size`; in
 * the files of unfinished runs `lopsided.moments.run`. Sums add up: to merge two files is to add them.
 */
import { type FileHandle, open, rename } from "node:fs/promises";
import { bytesOf, floatsOf } from "../bytes/floats.js";
import { type ByteSource, FileSource } from "../bytes/source.js";
import { MalformedInputError } from "../errors.js";
import { planGguf } from "../gguf/layout.js";
import { type Metadata, type MetadataValue, metadataNumber, metadataString } from "../gguf/metadata.js";
import { type GgufTensor, readGgufHeader } from "../gguf/reader.js";
import { packedLength, packedRow } from "../quants/output-aware/packed.js";

const momentsSuffix = ".moments";
const countsSuffix = ".counts";
const runKey = "lopsided.moments.run";

/** Where a text's moments come from. */
export interface MomentsFacts {
  readonly datasets: readonly string[];
  readonly chunkCount: number;
  /** Tokens in a chunk. */
  readonly chunkSize: number;
  /** In the file of an unfinished run: which run and pass. */
  readonly run?: string | undefined;
}

/** One input of a file. */
export interface StoredMoments {
  readonly columns: number;
  /** Vectors behind each matrix. */
  readonly counts: Float64Array;
}

/** An open moments file; matrices are read one at a time. */
export class MomentsFile implements MomentsFacts {
  readonly #source: ByteSource;
  readonly #tensors: ReadonlyMap<string, GgufTensor>;
  /** By the input's name. */
  readonly inputs: ReadonlyMap<string, StoredMoments>;
  readonly datasets: readonly string[];
  readonly chunkCount: number;
  readonly chunkSize: number;
  readonly run: string | undefined;

  private constructor(
    source: ByteSource,
    inputs: ReadonlyMap<string, StoredMoments>,
    tensors: ReadonlyMap<string, GgufTensor>,
    datasets: readonly string[],
    chunkCount: number,
    chunkSize: number,
    run: string | undefined,
  ) {
    this.inputs = inputs;
    this.datasets = datasets;
    this.chunkCount = chunkCount;
    this.chunkSize = chunkSize;
    this.run = run;
    this.#source = source;
    this.#tensors = tensors;
  }

  /** Opens a file. Throws a MalformedInputError that names the file and the input. */
  static async open(path: string): Promise<MomentsFile> {
    const source = await FileSource.open(path);
    try {
      return await MomentsFile.read(source);
    } catch (error) {
      await source.close();
      throw error;
    }
  }

  /** Reads the header and the counts of a source, which belongs to the result. */
  static async read(source: ByteSource): Promise<MomentsFile> {
    const { metadata, tensors } = await readGgufHeader(source);
    const facts = factsOf(source.name, metadata);
    const sums = bySuffix(tensors, momentsSuffix);
    const counts = bySuffix(tensors, countsSuffix);
    const inputs = new Map<string, StoredMoments>();
    for (const [name, tensor] of sums) {
      inputs.set(name, await readCounts(source, name, tensor, counts.get(name)));
    }
    if (inputs.size === 0) {
      throw new MalformedInputError(`${source.name}: has no moments. Collect them again.`, {
        file: source.name,
      });
    }
    const { datasets, chunkCount, chunkSize, run } = facts;
    return new MomentsFile(source, inputs, sums, datasets, chunkCount, chunkSize, run);
  }

  get name(): string {
    return this.#source.name;
  }

  /**
   * The sums of one matrix, packed. Throws a MalformedInputError for values that are not finite, or a diagonal
   * that is negative: sums of squares.
   */
  async matrix(input: string, index: number): Promise<Float32Array> {
    const tensor = this.#tensors.get(input);
    const stored = this.inputs.get(input);
    if (tensor === undefined || stored === undefined) {
      throw new RangeError(`${this.name} has no moments of ${input}`);
    }
    const byteLength = 4 * packedLength(stored.columns);
    const sums = floatsOf(await this.#source.read(tensor.offset + index * byteLength, byteLength));
    checkSums(this.name, input, index, sums, stored.columns);
    return sums;
  }

  async close(): Promise<void> {
    await this.#source.close();
  }
}

/** One input to be written; `matrix` is asked for each matrix in turn. */
export interface MomentsContent {
  readonly name: string;
  readonly columns: number;
  readonly counts: Float64Array;
  readonly matrix: (index: number) => Float32Array | Promise<Float32Array>;
}

/**
 * Writes a moments file, one matrix at a time in memory. The path has the old file or the whole new one, even if
 * the power fails; the temporary name is always the same, so that a killed run leaves no trail of files.
 */
export async function writeMomentsFile(
  path: string,
  facts: MomentsFacts,
  contents: readonly MomentsContent[],
): Promise<void> {
  const temporary = `${path}.new`;
  const file = await open(temporary, "w");
  try {
    await writeParts(file, facts, contents);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

async function writeParts(
  file: FileHandle,
  facts: MomentsFacts,
  contents: readonly MomentsContent[],
): Promise<void> {
  const layout = planGguf({
    metadata: metadataOf(facts),
    tensors: contents.flatMap(({ name, columns, counts }) => [
      {
        name: name + momentsSuffix,
        shape: shapeOf(packedLength(columns), counts.length),
        type: "F32" as const,
      },
      { name: name + countsSuffix, shape: shapeOf(1, counts.length), type: "F32" as const },
    ]),
  });
  await file.write(layout.header, 0, layout.header.byteLength, 0);
  await file.truncate(layout.byteLength);
  const offsets = layout.tensors.map(({ offset }) => offset);
  for (const [i, { counts, columns, matrix }] of contents.entries()) {
    const at = offsets[2 * i] ?? 0;
    for (let index = 0; index < counts.length; index++) {
      await writeAll(file, bytesOf(await matrix(index)), at + 4 * index * packedLength(columns));
    }
    await writeAll(file, bytesOf(Float32Array.from(counts)), offsets[2 * i + 1] ?? 0);
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.byteLength - done, offset + done);
    done += bytesWritten;
  }
}

/** Trailing dimensions of one are not stored. */
function shapeOf(length: number, matrices: number): number[] {
  return matrices === 1 ? [length] : [length, matrices];
}

function metadataOf({ datasets, chunkCount, chunkSize, run }: MomentsFacts): Metadata {
  const metadata = new Map<string, MetadataValue>([
    ["general.type", { type: "string", value: "moments" }],
    ["moments.datasets", { type: "array", itemType: "string", value: datasets }],
    ["moments.chunk_count", { type: "uint32", value: chunkCount }],
    ["moments.chunk_size", { type: "uint32", value: chunkSize }],
  ]);
  if (run !== undefined) {
    metadata.set(runKey, { type: "string", value: run });
  }
  return metadata;
}

function factsOf(file: string, metadata: Metadata): MomentsFacts {
  const type = metadataString(metadata, "general.type") ?? "model";
  if (type !== "moments") {
    throw new MalformedInputError(
      `${file}: is not a moments file but a GGUF file of type "${type}"; name a file made by "lopsided imatrix --moments".`,
      { file },
    );
  }
  const datasets = metadata.get("moments.datasets");
  const chunkCount = metadataNumber(metadata, "moments.chunk_count");
  const chunkSize = metadataNumber(metadata, "moments.chunk_size");
  if (
    datasets?.type !== "array" ||
    datasets.itemType !== "string" ||
    !isCount(chunkCount) ||
    !isCount(chunkSize)
  ) {
    throw new MalformedInputError(
      `${file}: moments.datasets, moments.chunk_count or moments.chunk_size is missing or no count; the file is damaged, collect the moments again.`,
      { file },
    );
  }
  return { datasets: datasets.value, chunkCount, chunkSize, run: metadataString(metadata, runKey) };
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

async function readCounts(
  source: ByteSource,
  name: string,
  sums: GgufTensor,
  counts: GgufTensor | undefined,
): Promise<StoredMoments> {
  const [length = 0, matrices = 1, ...more] = sums.shape;
  const columns = Math.round((Math.sqrt(8 * length + 1) - 1) / 2);
  if (sums.type !== "F32" || packedLength(columns) !== length || more.length > 0) {
    throw damaged(
      source.name,
      name,
      `is not packed symmetric matrices in F32 (${sums.type}, ${sums.shape}).`,
    );
  }
  if (counts?.type !== "F32" || counts.byteLength !== 4 * matrices) {
    throw damaged(source.name, name, `has ${matrices} matrices without as many counts.`);
  }
  const values = floatsOf(await source.read(counts.offset, counts.byteLength));
  if (!values.every((count) => count >= 0 && count <= Number.MAX_SAFE_INTEGER)) {
    throw damaged(source.name, name, "has counts that are no numbers of tokens.");
  }
  return { columns, counts: Float64Array.from(values, Math.round) };
}

function checkSums(file: string, input: string, index: number, sums: Float32Array, columns: number): void {
  let sum = 0;
  for (const value of sums) {
    sum += value * 0;
  }
  for (let i = 0; i < columns && sum === 0; i++) {
    if ((sums[packedRow(columns, i)] as number) < 0) {
      sum = Number.NaN;
    }
  }
  if (sum === 0) {
    return;
  }
  throw new MalformedInputError(
    `${file}: matrix ${index} of "${input}" has values that are not finite, or negative sums of squares. Collect the moments again, from a model that is not damaged.`,
    { file, input },
  );
}

function damaged(file: string, input: string, problem: string): MalformedInputError {
  return new MalformedInputError(
    `${file}: input "${input}" ${problem} The file is damaged; copy it or collect the moments again.`,
    { file, input },
  );
}
