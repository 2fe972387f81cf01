/**
 * A model as the explorer needs it: what its header says, without the vocabulary, and how long the header of a
 * quantized file becomes.
 */
import { shownName } from "../bytes/address.js";
import { utf8Length } from "../bytes/utf8.js";
import { padTo } from "../gguf/format.js";
import { headerLength, planGguf, recordedAlignment, tensorBytes } from "../gguf/layout.js";
import type { Metadata, MetadataValue } from "../gguf/metadata.js";
import { Architecture } from "../model/architecture.js";
import { layerOf, nextnLayersOf } from "../model/roles.js";
import { byteOptions } from "../quantize/byte-options.js";
import type { TypeName } from "../quants/types.js";
import { type NamedImatrix, outputMetadata, unknownSha256 } from "../write/output-metadata.js";

export interface ExplorableTensor {
  readonly name: string;
  /** Row length first. */
  readonly shape: readonly number[];
  readonly type: TypeName;
}

/** Bytes of the output's header besides the recipe's text, before padding. */
export interface HeaderBytes {
  readonly plain: number;
  readonly withImatrix: number;
}

export interface ExplorableModel {
  /** How commands name it: a path or an address. */
  readonly name: string;
  /** Without what is long: the vocabulary's place is taken by its size. */
  readonly metadata: Metadata;
  readonly tensors: readonly ExplorableTensor[];
  /** Size of the source. */
  readonly byteLength: number;
  readonly headerBytes: HeaderBytes;
  readonly alignment: number;
  /** The importance matrix that there is; undefined: one that will be computed. */
  readonly imatrix?: KnownImatrix | undefined;
}

/** An importance matrix, and the tensors that it knows. */
export interface KnownImatrix {
  /** Name of its file. */
  readonly name: string;
  readonly tensors: readonly string[];
}

/** A model that was opened: whole metadata. */
export interface OpenedModel {
  readonly name: string;
  readonly metadata: Metadata;
  readonly tensors: readonly ExplorableTensor[];
  readonly byteLength: number;
  /** Number of its files: the output names a checksum of each. */
  readonly files: number;
}

/** What the commands call an importance matrix that is yet to be, and its text: their names are in the output's header. */
const imatrixFile = "imatrix.gguf";
export const calibrationFile = "calibration.txt";

const expectedImatrix: NamedImatrix = {
  name: imatrixFile,
  datasets: [calibrationFile],
  entries: { size: 1 },
  chunkCount: 1,
};

/** Longest value that is kept, in bytes of the header: numbers by layer are some hundred. */
const longestKept = 1 << 13;

/**
 * What is needed of a model. `version` is that of the Lopsided that will quantize it; `given` the importance matrix
 * that it will be given, if there is one. Throws a MalformedInputError if the metadata lack the architecture.
 */
export function explorableModel(
  { name, metadata, tensors, byteLength, files }: OpenedModel,
  version: string,
  given?: { readonly imatrix: NamedImatrix; readonly tensors: readonly string[] },
): ExplorableModel {
  const imatrix = given?.imatrix ?? expectedImatrix;
  const headerBytes = (used: NamedImatrix | undefined) =>
    headerLength({
      metadata: outputMetadata({
        source: metadata,
        fileType: 0,
        imatrix: used,
        overrides: new Map(),
        provenance: {
          version,
          recipe: "",
          options: byteOptions({ effort: "default" }),
          sourceSha256: Array.from({ length: files }, () => unknownSha256),
          imatrixSha256: used && unknownSha256,
        },
      }),
      tensors,
    });
  return {
    name,
    metadata: withoutLongValues(metadata),
    tensors: tensors.map(({ name: tensor, shape, type }) => ({ name: tensor, shape, type })),
    byteLength,
    headerBytes: { plain: headerBytes(undefined), withImatrix: headerBytes(imatrix) },
    alignment: recordedAlignment(metadata),
    ...(given && { imatrix: { name: shownName(imatrix.name), tensors: given.tensors } }),
  };
}

function withoutLongValues(metadata: Metadata): Metadata {
  const isShort = (key: string, value: MetadataValue) =>
    (value.type !== "array" && value.type !== "string") ||
    headerLength({ metadata: new Map([[key, value]]), tensors: [] }) <= longestKept;
  const kept = new Map([...metadata].filter(([key, value]) => isShort(key, value)));
  const architecture = new Architecture(metadata);
  const vocabulary = metadata.get("tokenizer.ggml.tokens");
  const key = `${architecture.name}.vocab_size`;
  if (vocabulary?.type === "array" && !kept.has(key)) {
    kept.set(key, { type: "uint32", value: vocabulary.value.length });
  }
  kept.delete("tokenizer.ggml.tokens");
  return kept;
}

/** What the commands call the importance matrix. */
export function imatrixName({ imatrix }: ExplorableModel): string {
  return imatrix?.name ?? imatrixFile;
}

/** Size of the file that `quantize` writes, in which the recipe's text is part of the header. */
export function outputBytes(
  { tensors, headerBytes, alignment }: ExplorableModel,
  types: ReadonlyMap<string, TypeName>,
  recipe: string,
  hasImatrix: boolean,
): number {
  const header = (hasImatrix ? headerBytes.withImatrix : headerBytes.plain) + utf8Length(recipe);
  return tensors.reduce(
    (sum, { name, shape, type }) =>
      sum + padTo(tensorBytes({ name, shape, type: types.get(name) ?? type }), alignment),
    padTo(header, alignment),
  );
}

/**
 * Whether the importance matrix has an entry for a tensor. Of one that is yet to be it is known that `imatrix` watches
 * the matrices of the trunk's layers.
 */
export function hasImportance({ imatrix, tensors }: ExplorableModel): (name: string) => boolean {
  if (imatrix !== undefined) {
    const known = new Set(imatrix.tensors);
    return (name) => known.has(name);
  }
  const nextn = nextnLayersOf(tensors.map(({ name }) => name));
  return (name) => {
    const layer = layerOf(name);
    return layer !== undefined && !nextn.has(layer);
  };
}

/** The model's header as a file of its own, for `readGgufHeader`. */
export function headerFile({ metadata, tensors }: ExplorableModel): {
  bytes: Uint8Array;
  byteLength: number;
} {
  const { header, byteLength } = planGguf({ metadata, tensors });
  return { bytes: header, byteLength };
}
