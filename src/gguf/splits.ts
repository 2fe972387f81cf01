/**
 * Split models: one model in several GGUF files, `NAME-00001-of-00003.gguf` and so on, each with the keys
 * `split.no`, `split.count` and `split.tensors.count`. The first has the model's metadata; each has its own
 * tensors. Rules: `llama_split_path` and the model loader of llama.cpp, which reads a set from its first file.
 */
import { quoted } from "../bytes/quoted.js";
import type { ByteSource } from "../bytes/source.js";
import { EnvironmentError, MalformedInputError, systemErrorCode, UsageError } from "../errors.js";
import { type Metadata, type MetadataValue, metadataNumber } from "./metadata.js";
import { type GgufHeader, readGgufHeader } from "./reader.js";

const indexKey = "split.no";
const countKey = "split.count";
const tensorCountKey = "split.tensors.count";

/** Which file of a set a name says it is; `index` counts from 0. */
export interface SplitName {
  /** Folder and name up to the number. */
  readonly prefix: string;
  readonly index: number;
  readonly count: number;
}

/** The parts of `PREFIX-00001-of-00003.gguf`, or undefined if the name is not of that form. */
export function parseSplitName(path: string): SplitName | undefined {
  const match = /^(.*)-(\d{5,})-of-(\d{5,})\.gguf$/s.exec(path);
  if (!match) {
    return undefined;
  }
  const [, prefix = "", number, count] = match;
  return { prefix, index: Number(number) - 1, count: Number(count) };
}

/** Path of one file of a set; `index` counts from 0. */
export function splitPath({ prefix, index, count }: SplitName): string {
  const digits = (number: number) => String(number).padStart(5, "0");
  return `${prefix}-${digits(index + 1)}-of-${digits(count)}.gguf`;
}

/** The metadata without the three keys that belong to one file of a set. */
export function withoutSplitKeys(metadata: Metadata): Metadata {
  const rest = new Map(metadata);
  for (const key of [indexKey, countKey, tensorCountKey]) {
    rest.delete(key);
  }
  return rest;
}

/** The keys of one file of a set, with llama.cpp's types; `index` counts from 0. */
export function splitMetadata(index: number, count: number, tensorCount: number): Metadata {
  return new Map<string, MetadataValue>([
    [indexKey, { type: "uint16", value: index }],
    [countKey, { type: "uint16", value: count }],
    [tensorCountKey, { type: "int32", value: tensorCount }],
  ]);
}

/** One file of a model, open. */
export interface OpenShard {
  readonly source: ByteSource;
  readonly header: GgufHeader;
}

/** Opens a path or an address as a source. */
export type OpenSource = (path: string) => Promise<ByteSource>;

/**
 * Opens a GGUF file, and if it is the first of a set, the others beside it, in order. Closes what it opened if
 * it throws: a UsageError if `path` is a later file of a set, an EnvironmentError that names a missing file, a
 * MalformedInputError if the files do not belong together.
 */
export async function openShards(path: string, open: OpenSource): Promise<OpenShard[]> {
  const shards: OpenShard[] = [];
  try {
    const first = await openShard(path, open, shards);
    const count = metadataNumber(first.header.metadata, countKey) ?? 1;
    if (count <= 1) {
      return shards;
    }
    const name = firstOfSet(first, count);
    for (let index = 1; index < count; index++) {
      const shard = await openLater(path, splitPath({ ...name, index }), open, shards);
      checkMember(shard, index, count);
    }
    checkTensors(shards, metadataNumber(first.header.metadata, tensorCountKey));
    return shards;
  } catch (error) {
    await Promise.all(shards.map((shard) => shard.source.close()));
    throw error;
  }
}

async function openShard(path: string, open: OpenSource, shards: OpenShard[]): Promise<OpenShard> {
  const source = await open(path);
  let header: GgufHeader;
  try {
    header = await readGgufHeader(source);
  } catch (error) {
    await source.close();
    throw error;
  }
  const shard = { source, header };
  shards.push(shard);
  return shard;
}

async function openLater(
  first: string,
  path: string,
  open: OpenSource,
  shards: OpenShard[],
): Promise<OpenShard> {
  try {
    return await openShard(path, open, shards);
  } catch (error) {
    if (!(error instanceof EnvironmentError) || systemErrorCode(error.cause) !== "ENOENT") {
      throw error;
    }
    throw new EnvironmentError(
      `${path}: is missing; it belongs to the same model as ${first}. Put all files of the set into one folder.`,
      { file: path },
      { cause: error },
    );
  }
}

/** Checks that a file with `split.count` is the first, under the name by which the others are found. */
function firstOfSet({ source, header }: OpenShard, count: number): SplitName {
  const index = metadataNumber(header.metadata, indexKey) ?? 0;
  const name = parseSplitName(source.name);
  if (index !== 0) {
    const first = name ? splitPath({ ...name, index: 0 }) : "the first file of the set";
    throw new UsageError(
      `${source.name}: is file ${index + 1} of ${count} of a split model; name ${first}.`,
      {
        file: source.name,
      },
    );
  }
  if (name?.index !== 0 || name.count !== count) {
    const ending = splitPath({ prefix: "", index: 0, count });
    throw new UsageError(
      `${source.name}: is the first of ${count} files of a split model, but its name does not end in "${ending}", so the others cannot be found. Give the files their names back.`,
      { file: source.name },
    );
  }
  return name;
}

function checkMember({ source, header }: OpenShard, index: number, count: number): void {
  const ownIndex = metadataNumber(header.metadata, indexKey);
  const ownCount = metadataNumber(header.metadata, countKey);
  if (ownIndex === index && ownCount === count) {
    return;
  }
  const own =
    ownIndex === undefined || ownCount === undefined
      ? "no file of a split model"
      : `file ${ownIndex + 1} of ${ownCount}`;
  throw new MalformedInputError(
    `${source.name}: should be file ${index + 1} of ${count} of a split model but says that it is ${own}. Download it again.`,
    { file: source.name },
  );
}

function checkTensors(shards: readonly OpenShard[], expected: number | undefined): void {
  const owners = new Map<string, string>();
  for (const { source, header } of shards) {
    for (const { name } of header.tensors) {
      const other = owners.get(name);
      if (other !== undefined) {
        throw new MalformedInputError(
          `${source.name}: has the tensor ${quoted(name)}, which ${other} has too. The files do not belong together; download them again.`,
          { file: source.name, tensor: name },
        );
      }
      owners.set(name, source.name);
    }
  }
  if (expected !== undefined && expected !== owners.size) {
    const [first] = shards;
    throw new MalformedInputError(
      `${first?.source.name}: says that the model has ${expected} tensors, but its ${shards.length} files have ${owners.size}. The files do not belong together; download them again.`,
      { file: first?.source.name },
    );
  }
}
