/** Reading kept activations, a layer at a time. The format: `format.ts`. A file is hostile input. */
import { createHash } from "node:crypto";
import { floatsOf } from "../bytes/floats.js";
import { type ByteSource, FileSource } from "../bytes/source.js";
import { MalformedInputError } from "../errors.js";
import { type Metadata, metadataNumber, metadataString } from "../gguf/metadata.js";
import { readGgufHeader } from "../gguf/reader.js";
import type { GgufTensor } from "../gguf/tensors.js";
import { type KeptBits, type KeptRows, keptRowBytes } from "../quants/output-aware/kept-rows.js";
import type { TypeName } from "../quants/types.js";
import { sharedCopy } from "../threads/shared.js";
import { type Ending, endings, fileType, functionBytes, type KeptFacts, noRun, runKey } from "./format.js";

/** Experts are numbered in 16 bits. */
const mostExperts = 2 ** 15;

/** What a file has of one layer. */
export interface StoredInput {
  readonly columns: number;
  readonly tokens: number;
  readonly slots: number;
  readonly experts: number;
}

/** The vectors of a layer in memory. */
export interface LoadedInput {
  readonly rows: KeptRows;
  /** Name of what the experts compute. */
  readonly activation: string;
  /** Tokens that each expert saw. */
  readonly counts: Float64Array;
  /** Of all of it. */
  readonly sha256: string;
}

type Tensors = Readonly<Record<Ending, GgufTensor>>;

/** An open file. */
export class KeptFile implements KeptFacts {
  readonly #source: ByteSource;
  readonly #tensors: ReadonlyMap<string, Tensors>;
  /** By the input's name. */
  readonly inputs: ReadonlyMap<string, StoredInput>;
  readonly bits: KeptBits;
  readonly datasets: readonly string[];
  readonly chunkCount: number;
  readonly chunkSize: number;

  private constructor(
    source: ByteSource,
    facts: KeptFacts,
    tensors: ReadonlyMap<string, Tensors>,
    inputs: ReadonlyMap<string, StoredInput>,
  ) {
    this.#source = source;
    this.#tensors = tensors;
    this.inputs = inputs;
    this.bits = facts.bits;
    this.datasets = facts.datasets;
    this.chunkCount = facts.chunkCount;
    this.chunkSize = facts.chunkSize;
  }

  /**
   * Opens a file. Throws a MalformedInputError that names the file and the input.
   * @param run that the file bears the mark of; a whole one bears none
   */
  static async open(path: string, run = noRun): Promise<KeptFile> {
    const source = await FileSource.open(path);
    try {
      return await KeptFile.read(source, run);
    } catch (error) {
      await source.close();
      throw error;
    }
  }

  /** Reads the header of a source, which belongs to the result. */
  static async read(source: ByteSource, run = noRun): Promise<KeptFile> {
    const { metadata, tensors } = await readGgufHeader(source);
    const facts = factsOf(source.name, metadata, run);
    const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
    const found = new Map<string, Tensors>();
    const inputs = new Map<string, StoredInput>();
    for (const { name } of tensors.filter(({ name }) => name.endsWith(".rows"))) {
      const input = name.slice(0, -".rows".length);
      const own = Object.fromEntries(endings.map((ending) => [ending, byName.get(`${input}.${ending}`)]));
      const stored = shapeOf(own as Partial<Tensors>, facts.bits);
      if (stored === undefined) {
        throw damaged(source.name, input, "lacks a part, or has one of another size.");
      }
      found.set(input, own as Tensors);
      inputs.set(input, stored);
    }
    if (inputs.size === 0) {
      throw new MalformedInputError(`${source.name}: has no activations. Keep them again.`, {
        file: source.name,
      });
    }
    return new KeptFile(source, facts, found, inputs);
  }

  get name(): string {
    return this.#source.name;
  }

  /** Reads the vectors of a layer. Throws a MalformedInputError for numbers that cannot be. */
  async load(input: string): Promise<LoadedInput> {
    const [tensors, stored] = [this.#tensors.get(input), this.inputs.get(input)];
    if (tensors === undefined || stored === undefined) {
      throw new RangeError(`${this.name} has no activations of ${input}`);
    }
    const hash = createHash("sha256").update(`${this.bits} ${stored.columns} ${stored.slots} `);
    const read = async (ending: Ending) => {
      const bytes = await this.#source.read(tensors[ending].offset, tensors[ending].byteLength);
      hash.update(bytes);
      return sharedCopy(bytes);
    };
    const { columns, tokens, slots } = stored;
    const rows: KeptRows = {
      columns,
      bits: this.bits,
      tokens,
      slots,
      codes: await read("rows"),
      scales: floatsOf(await read("scales")),
      channels: floatsOf(await read("channels")),
      experts: new Uint16Array((await read("experts")).buffer),
      weights: floatsOf(await read("weights")),
      hidden: floatsOf(await read("hidden")),
    };
    const activation = nameIn(await read("function"));
    return { rows, activation, counts: this.#checked(input, rows), sha256: hash.digest("hex") };
  }

  /** Name of what the experts of a layer compute. */
  async activationOf(input: string): Promise<string | undefined> {
    const tensor = this.#tensors.get(input)?.function;
    return tensor && nameIn(await this.#source.read(tensor.offset, tensor.byteLength));
  }

  async close(): Promise<void> {
    await this.#source.close();
  }

  /** Tokens of each expert; throws unless all numbers can be. */
  #checked(input: string, { scales, channels, experts, weights, hidden }: KeptRows): Float64Array {
    const isSize = (value: number) => value >= 0 && value < Infinity;
    const counts = new Float64Array(hidden.length);
    for (const expert of experts) {
      if (expert >= counts.length) {
        throw damaged(this.name, input, `has a token for expert ${expert} of ${counts.length}.`);
      }
      counts[expert] = (counts[expert] ?? 0) + 1;
    }
    const isSound =
      scales.every(isSize) &&
      hidden.every(isSize) &&
      weights.every((weight) => Number.isFinite(weight)) &&
      channels.every((scale) => scale > 0 && scale < Infinity);
    if (!isSound) {
      throw damaged(this.name, input, "has scales, weights or sums that are no finite numbers.");
    }
    return counts;
  }
}

function nameIn(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return String.fromCharCode(...bytes.subarray(0, end < 0 ? bytes.length : end));
}

/** Sizes of an input whose tensors fit together. */
function shapeOf(tensors: Partial<Tensors>, bits: KeptBits): StoredInput | undefined {
  const [rowBytes = 0, tokens = 1] = tensors.rows?.shape ?? [];
  const [columns = 0] = tensors.channels?.shape ?? [];
  const [slots = 0] = tensors.experts?.shape ?? [];
  const [experts = 0] = tensors.hidden?.shape ?? [];
  const types: Record<Ending, readonly [TypeName, number]> = {
    rows: ["I8", rowBytes * tokens],
    scales: ["F32", 4 * tokens],
    channels: ["F32", 4 * columns],
    experts: ["I16", 2 * slots * tokens],
    weights: ["F32", 4 * slots * tokens],
    hidden: ["F32", 4 * experts],
    function: ["I8", functionBytes],
  };
  const fits =
    columns > 0 &&
    columns % 8 === 0 &&
    keptRowBytes(columns, bits) === rowBytes &&
    slots > 0 &&
    experts <= mostExperts &&
    endings.every((ending) => {
      const [type, byteLength] = types[ending];
      return tensors[ending]?.type === type && tensors[ending].byteLength === byteLength;
    });
  return fits ? { columns, tokens, slots, experts } : undefined;
}

function factsOf(file: string, metadata: Metadata, run: string): KeptFacts {
  const type = metadataString(metadata, "general.type") ?? "model";
  if (type !== fileType) {
    throw new MalformedInputError(
      `${file}: is not a file of activations but a GGUF file of type "${type}"; name a file made by "lopsided imatrix --activations".`,
      { file },
    );
  }
  if (metadataString(metadata, runKey) !== run) {
    throw new MalformedInputError(
      `${file}: the run that keeps these activations is not done; repeat its command.`,
      { file },
    );
  }
  const datasets = metadata.get("activations.datasets");
  const bits = metadataNumber(metadata, "activations.bits");
  const [chunkCount, chunkSize] = ["chunk_count", "chunk_size"].map((key) =>
    metadataNumber(metadata, `activations.${key}`),
  );
  const areNames = datasets?.type === "array" && datasets.itemType === "string";
  if ((bits !== 8 && bits !== 4) || !areNames || !isCount(chunkCount) || !isCount(chunkSize)) {
    throw new MalformedInputError(
      `${file}: activations.bits, datasets, chunk_count or chunk_size is missing or cannot be; the file is damaged, keep the activations again.`,
      { file },
    );
  }
  return { bits, datasets: datasets.value, chunkCount, chunkSize };
}

function isCount(value: number | undefined): value is number {
  return value !== undefined && Number.isSafeInteger(value) && value >= 0;
}

function damaged(file: string, input: string, problem: string): MalformedInputError {
  return new MalformedInputError(
    `${file}: input "${input}" ${problem} The file is damaged; copy it or keep the activations again.`,
    { file, input },
  );
}
