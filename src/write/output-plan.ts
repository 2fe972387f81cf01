/** The files of an output before the first weight: which tensors each holds, and where. */
import { suggestion } from "../contract/suggest.js";
import { UsageError } from "../errors.js";
import { type GgufLayout, planGguf } from "../gguf/layout.js";
import type { Metadata } from "../gguf/metadata.js";
import { splitMetadata, splitPath } from "../gguf/splits.js";
import { roleMatches, roleOf, roleSelectors } from "../model/roles.js";
import { type ModelSource, rowCount, type SourceTensor } from "../model/source.js";
import { rowBytes, type TypeName } from "../quants/types.js";
import { unknownSha256 } from "./output-metadata.js";
import type { TensorTask } from "./slice-tasks.js";
import type { EncodingGroup } from "./tensor-groups.js";

/** A tensor of the source and what becomes of it. */
export interface OutputTensor {
  readonly source: SourceTensor;
  readonly type: TypeName;
  readonly importance?: TensorTask["importance"] | undefined;
  readonly moments?: TensorTask["moments"];
  /** Whom it is encoded with; with whom it stands if undefined. */
  readonly group?: EncodingGroup | undefined;
}

export interface SplitOptions {
  /** One output file for each file of the source. */
  readonly keepSplit?: boolean | undefined;
  /** Begin another file rather than let the tensors of one exceed this many bytes. */
  readonly splitMaxSize?: number | undefined;
  /** Tensors of these roles get files of their own, after the others: large tables that are read from another disk. */
  readonly ownShard?: readonly string[] | undefined;
}

export interface OutputRequest extends SplitOptions {
  readonly source: ModelSource;
  /** Path of the file to write; for a set, its number is put before ".gguf". */
  readonly output: string;
  readonly tensors: readonly OutputTensor[];
  /**
   * Metadata of the output, given the SHA-256 of each of the source's files. It is asked for twice, before and
   * after the weights are written, and must have the same length both times.
   */
  readonly metadata: (sourceSha256: readonly string[]) => Metadata;
}

/** One file to be written. */
export interface PlannedFile {
  readonly path: string;
  readonly tensors: readonly OutputTensor[];
  /** The layout; its header has placeholders for the checksums of the source. */
  readonly layout: GgufLayout;
  /** The header with the checksums, of the same length. */
  readonly header: (sourceSha256: readonly string[]) => Uint8Array;
}

/** `split.count` is a 16-bit number. */
const mostFiles = 2 ** 16 - 1;

/** Lays out the output. Throws a UsageError if llama.cpp could not load it, or it cannot be split as asked. */
export function planOutput(request: OutputRequest): PlannedFile[] {
  const groups = groupTensors(request);
  if (groups.length > mostFiles) {
    throw new UsageError(
      `\`splitMaxSize\`: ${groups.length} files would be needed, and a set has at most ${mostFiles}; choose a larger size.`,
    );
  }
  return groups.map((tensors, index) => {
    const metadata = (sha256: readonly string[]) => fileMetadata(request, sha256, index, groups.length);
    const layoutWith = (sha256: readonly string[]) =>
      planGguf({
        metadata: metadata(sha256),
        tensors: tensors.map(({ source: { name, shape }, type }) => ({ name, shape, type })),
      });
    return {
      path: groups.length === 1 ? request.output : setPath(request.output, index, groups.length),
      tensors,
      layout: layoutWith(request.source.files.map(() => unknownSha256)),
      header: (sha256: readonly string[]) => layoutWith(sha256).header,
    };
  });
}

/** `model.gguf` (or `model`) becomes `model-00001-of-00003.gguf`. */
function setPath(output: string, index: number, count: number): string {
  return splitPath({ prefix: output.replace(/\.gguf$/, ""), index, count });
}

/** The model's metadata is in the first file of a set alone; all have the keys that make them a set. */
function fileMetadata(
  { metadata, tensors }: OutputRequest,
  sourceSha256: readonly string[],
  index: number,
  count: number,
): Metadata {
  if (count === 1) {
    return metadata(sourceSha256);
  }
  const base: Metadata = index === 0 ? metadata(sourceSha256) : new Map();
  return new Map([...base, ...splitMetadata(index, count, tensors.length)]);
}

/** The tensors of each file, in order. */
function groupTensors(request: OutputRequest): OutputTensor[][] {
  const { source, tensors, keepSplit, splitMaxSize, ownShard = [] } = request;
  if (keepSplit && splitMaxSize !== undefined) {
    throw new UsageError("`keepSplit` and `splitMaxSize` contradict each other; use one.");
  }
  if (keepSplit && ownShard.length > 0) {
    throw new UsageError("`keepSplit` and `ownShard` contradict each other; use one.");
  }
  if (keepSplit) {
    return groupsAsInSource(source, tensors);
  }
  const apart = tensorsOfRoles(tensors, ownShard);
  const together = tensors.filter((tensor) => !apart.has(tensor));
  const groups = splitMaxSize === undefined ? [together] : groupsBySize(together, splitMaxSize);
  return [...groups, ...Array.from(apart, (tensor) => [tensor])].filter(({ length }) => length > 0);
}

/** The tensors that have one of these roles. Throws a UsageError for a word that is none, or that no tensor has. */
function tensorsOfRoles(
  tensors: readonly OutputTensor[],
  words: readonly string[],
): ReadonlySet<OutputTensor> {
  const apart = new Set<OutputTensor>();
  for (const word of words) {
    const selector = roleSelectors.find((known) => known === word);
    if (selector === undefined) {
      throw new UsageError(`\`ownShard\`: "${word}" is not a role${suggestion(word, roleSelectors)}`, {
        role: word,
      });
    }
    const found = tensors.filter(({ source: { name } }) => roleMatches(selector, roleOf(name)));
    if (found.length === 0) {
      throw new UsageError(`\`ownShard\`: this model has no tensor of the role ${word}; remove the option.`, {
        role: word,
      });
    }
    for (const tensor of found) {
      apart.add(tensor);
    }
  }
  return apart;
}

function groupsAsInSource(source: ModelSource, tensors: readonly OutputTensor[]): OutputTensor[][] {
  const groups = source.files.map((): OutputTensor[] => []);
  for (const tensor of tensors) {
    const { name, file } = tensor.source;
    const group = file === undefined ? undefined : groups[file];
    if (group === undefined) {
      throw new UsageError(
        `\`keepSplit\`: ${name} does not lie in one file of ${source.name}; use \`splitMaxSize\` instead.`,
      );
    }
    group.push(tensor);
  }
  return groups;
}

/**
 * As llama-gguf-split does it with `--split-max-size` (llama.cpp `tools/gguf-split/gguf-split.cpp`): in order,
 * headers not counted, every tensor rounded up to 32 bytes. A tensor larger than the limit gets a file of its
 * own, the first one too, where llama-gguf-split gives up.
 */
function groupsBySize(tensors: readonly OutputTensor[], most: number): OutputTensor[][] {
  const groups: OutputTensor[][] = [];
  let filled = Infinity;
  for (const tensor of tensors) {
    const { shape } = tensor.source;
    const bytes = Math.ceil((rowCount(shape) * rowBytes(tensor.type, shape[0] ?? 1)) / 32) * 32;
    if (filled + bytes > most) {
      groups.push([]);
      filled = 0;
    }
    filled += bytes;
    groups.at(-1)?.push(tensor);
  }
  return groups;
}
