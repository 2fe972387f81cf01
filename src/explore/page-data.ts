/** What a page is built for, as JSON inside it: a model's header without vocabulary, and what was measured of it. */
import type { Sensitivity } from "../budget/sensitivity/defaults.js";
import type { ErrorCurve } from "../budget/typical-curves.js";
import type { ByteSource } from "../bytes/source.js";
import { checkRange } from "../bytes/source-range.js";
import { readGgufHeader } from "../gguf/reader.js";
import type { TypeName } from "../quants/types.js";
import { type ExplorableModel, type HeaderBytes, headerFile, type KnownImatrix } from "./explorable-model.js";
import type { Knowledge, MadeModel } from "./explorer.js";

export interface PageData {
  /** Version of Lopsided. */
  readonly version: string;
  /** Texts of the presets' recipe files, by name. */
  readonly presets: readonly (readonly [string, string])[];
  readonly model?: PackedModel | undefined;
  /** What the address would say: shown at first. */
  readonly start?: string | undefined;
}

interface PackedModel {
  readonly name: string;
  readonly byteLength: number;
  readonly headerBytes: HeaderBytes;
  readonly alignment: number;
  /** A GGUF header in base64, and the length of the file that it would be of. */
  readonly header: string;
  readonly headerFileBytes: number;
  /** What it is called and what it says. */
  readonly sensitivity?: readonly [string, readonly (readonly [string, number])[]] | undefined;
  readonly curves?: readonly (readonly [string, readonly (readonly [TypeName, number])[]])[] | undefined;
  readonly imatrix?: KnownImatrix | undefined;
  readonly made?: PackedMade | undefined;
}

type PackedMade = Omit<MadeModel, "types"> & { readonly types: readonly (readonly [string, TypeName])[] };

/** A model with what is known of it, for the page. */
export function packModel(model: ExplorableModel, { sensitivity, curves, made }: Knowledge): PackedModel {
  const { name, byteLength, headerBytes, alignment, imatrix } = model;
  const file = headerFile(model);
  return {
    name,
    byteLength,
    headerBytes,
    alignment,
    header: toBase64(file.bytes),
    headerFileBytes: file.byteLength,
    ...(sensitivity && { sensitivity: [sensitivity.name, [...sensitivity.alphas]] as const }),
    ...(curves && { curves: [...curves].map(([tensor, curve]) => [tensor, [...curve]] as const) }),
    ...(imatrix && { imatrix }),
    ...(made && { made: { ...made, types: [...made.types] } }),
  };
}

/** The model, and what is known of it. */
export async function unpackModel(
  packed: PackedModel,
): Promise<{ model: ExplorableModel; knowledge: Knowledge }> {
  const { name, byteLength, headerBytes, alignment, imatrix, header, headerFileBytes, made } = packed;
  const { metadata, tensors } = await readGgufHeader(headerSource(name, fromBase64(header), headerFileBytes));
  return {
    model: { name, metadata, tensors, byteLength, headerBytes, alignment, imatrix },
    knowledge: {
      sensitivity: unpackSensitivity(packed),
      curves: unpackCurves(packed),
      made: made && { ...made, types: new Map(made.types) },
    },
  };
}

function unpackSensitivity({ sensitivity }: PackedModel): Sensitivity | undefined {
  return sensitivity && { name: sensitivity[0], alphas: new Map(sensitivity[1]) };
}

function unpackCurves({ curves }: PackedModel): ReadonlyMap<string, ErrorCurve> | undefined {
  return curves && new Map(curves.map(([tensor, curve]) => [tensor, new Map(curve)]));
}

/** The beginning of a file of which nothing else is there. */
function headerSource(name: string, bytes: Uint8Array, byteLength: number): ByteSource {
  const source: ByteSource = {
    name,
    byteLength,
    async read(offset, length) {
      checkRange(source, offset, length);
      const read = new Uint8Array(length);
      read.set(bytes.subarray(offset, offset + length));
      return read;
    },
    async close() {},
  };
  return source;
}

function toBase64(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
