/**
 * The tensors of a folder of safetensors files: a single `model.safetensors`, or shards with
 * `model.safetensors.index.json` that says which tensor lies in which file.
 */
import { type Folder, hasFile } from "../bytes/folder.js";
import { isJsonObject, readJson } from "../bytes/json.js";
import type { ByteSource } from "../bytes/source.js";
import { MalformedInputError } from "../errors.js";
import { readSafetensorsHeader, type SafetensorsTensor } from "./header.js";

const indexName = "model.safetensors.index.json";
const singleName = "model.safetensors";

/** The index of the largest models (100 000 tensors) has about 10 MB. */
const maxIndexBytes = 100_000_000;

export interface SafetensorsFolder {
  /** Sorted by file name, and within a file by tensor name. */
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>;
  /** Its files, sorted by name. */
  readonly files: readonly ByteSource[];
  /** Bytes of all its files together. */
  readonly byteLength: number;
  close(): Promise<void>;
}

/**
 * Opens all safetensors files of a model and reads their headers. Throws a MalformedInputError that names the
 * file or tensor if a shard or a tensor of the index is missing, a shard's name leads out of the folder, a
 * tensor stands in two files or in none of the index's entries, or a header is not sound.
 */
export async function openSafetensorsFolder(folder: Folder): Promise<SafetensorsFolder> {
  const index = await usableIndex(folder);
  const files = index ? [...new Set(index.values())].sort() : await findFiles(folder);
  const sources: ByteSource[] = [];
  const close = async () => {
    for (const source of sources) {
      await source.close();
    }
  };
  try {
    const tensors = new Map<string, SafetensorsTensor>();
    for (const file of files) {
      sources.push(await openShard(folder, file));
      await addTensors(tensors, sources.at(-1) as ByteSource);
    }
    if (index) {
      checkIndex(folder, index, tensors, new Map(files.map((file, i) => [file, sources[i]])));
    }
    const byteLength = sources.reduce((sum, source) => sum + source.byteLength, 0);
    return { tensors, files: sources, byteLength, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function openShard(folder: Folder, file: string): Promise<ByteSource> {
  const source = await folder.open(file);
  if (source) {
    return source;
  }
  throw new MalformedInputError(
    `${folder.name}: "${file}" is missing, though ${indexName} names it; download it.`,
    { file },
  );
}

async function addTensors(tensors: Map<string, SafetensorsTensor>, source: ByteSource): Promise<void> {
  const header = await readSafetensorsHeader(source);
  for (const name of [...header.tensors.keys()].sort()) {
    const other = tensors.get(name);
    if (other) {
      throw new MalformedInputError(
        `${source.name}: tensor "${name}" is also in ${other.source.name}; keep only one of the files.`,
        { file: source.name, tensor: name },
      );
    }
    tensors.set(name, header.tensors.get(name) as SafetensorsTensor);
  }
}

/** The index, unless it is of other files than those that are there beside a complete model.safetensors. */
async function usableIndex(folder: Folder): Promise<ReadonlyMap<string, string> | undefined> {
  const index = await readIndex(folder);
  if (index === undefined || !(await hasFile(folder, singleName))) {
    return index;
  }
  for (const file of new Set(index.values())) {
    if (!(await hasFile(folder, file))) {
      return undefined;
    }
  }
  return index;
}

/** Tensor name -> file name, or undefined if the folder has no index. */
async function readIndex(folder: Folder): Promise<ReadonlyMap<string, string> | undefined> {
  const source = await folder.open(indexName);
  if (!source) {
    return undefined;
  }
  try {
    const json = await readJson(source, maxIndexBytes);
    const weightMap = isJsonObject(json) ? json.get("weight_map") : undefined;
    if (!isJsonObject(weightMap)) {
      throw new MalformedInputError(`${source.name}: has no "weight_map" object; download it again.`, {
        file: source.name,
      });
    }
    return new Map([...weightMap].map(([tensor, file]) => [tensor, checkShardName(source, tensor, file)]));
  } finally {
    await source.close();
  }
}

/** A plain file name only: a path could lead out of the folder. */
function checkShardName(index: ByteSource, tensor: string, file: unknown): string {
  if (typeof file === "string" && /^[\w][\w.-]*\.safetensors$/.test(file)) {
    return file;
  }
  throw new MalformedInputError(
    `${index.name}: tensor "${tensor}" is said to be in ${JSON.stringify(file)}, which is not the name of a safetensors file in the same folder.`,
    { file: index.name, tensor },
  );
}

async function findFiles(folder: Folder): Promise<readonly string[]> {
  const names = (await hasFile(folder, singleName)) ? [singleName] : await folder.list();
  const files = names.filter((name) => name.startsWith("model") && name.endsWith(".safetensors")).sort();
  if (files.length > 0) {
    return files;
  }
  throw new MalformedInputError(
    `${folder.name}: has no model.safetensors and no ${indexName}; name a Hugging Face folder with safetensors files.`,
    { file: folder.name },
  );
}

function checkIndex(
  folder: Folder,
  index: ReadonlyMap<string, string>,
  tensors: ReadonlyMap<string, SafetensorsTensor>,
  sources: ReadonlyMap<string, ByteSource | undefined>,
): void {
  for (const [name, file] of index) {
    const source = sources.get(file);
    const tensor = tensors.get(name);
    if (tensor && tensor.source === source) {
      continue;
    }
    throw new MalformedInputError(
      `${source?.name ?? folder.name}: tensor "${name}" is missing, though ${indexName} says it is there; download the file again.`,
      { file, tensor: name },
    );
  }
  for (const { name, source } of tensors.values()) {
    if (index.has(name)) {
      continue;
    }
    throw new MalformedInputError(
      `${source.name}: tensor "${name}" is not in ${indexName}; the index belongs to other files.`,
      { file: source.name, tensor: name },
    );
  }
}
