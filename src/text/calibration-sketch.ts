/** The sketch of the calibration text in an importance matrix: by it a model's evaluation texts are told from its calibration. */
import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { shownName } from "../bytes/address.js";
import { sha256OfFile } from "../bytes/sha256.js";
import { FileSource } from "../bytes/source.js";
import { LopsidedError } from "../errors.js";
import { type Metadata, metadataString } from "../gguf/metadata.js";
import { readGgufHeader } from "../gguf/reader.js";
import { mostHashes, type TextSketch } from "./text-sketch.js";

/** Where it stands in an importance matrix in GGUF. */
export const sketchKey = "lopsided.imatrix.sketch";

/** What a model was calibrated on. */
export interface CalibrationSketch {
  /** What to call the importance matrix in messages. */
  readonly name: string;
  readonly path: string;
  readonly sketch: TextSketch;
}

/** The sketch in the header of an importance matrix. What is none only keeps a text from being recognized. */
export function sketchIn(metadata: Metadata): TextSketch | undefined {
  const value = metadata.get(sketchKey);
  return value?.type === "array" && value.itemType === "uint32" && value.value.length <= mostHashes
    ? Uint32Array.from(value.value).sort()
    : undefined;
}

/**
 * What a model was calibrated on, by the importance matrix `given`, or else by the one that the model's header names
 * if it lies beside the model. Undefined if there is none, or it has no sketch. Throws an EnvironmentError or
 * MalformedInputError for one that was given and cannot be read.
 */
export async function calibrationSketchOf(
  model: string,
  metadata: Metadata,
  given: string | undefined,
): Promise<CalibrationSketch | undefined> {
  if (given !== undefined) {
    return await readSketch(given);
  }
  const named = metadataString(metadata, "quantize.imatrix.file");
  const path = named === undefined ? undefined : join(dirname(model), basename(named));
  if (path === undefined || !existsSync(path)) {
    return undefined;
  }
  try {
    const expected = metadataString(metadata, "lopsided.imatrix.sha256");
    const isIt = expected === undefined || (await sha256OfFile(path)) === expected;
    return isIt ? await readSketch(path) : undefined;
  } catch (error) {
    if (error instanceof LopsidedError) {
      return undefined;
    }
    throw error;
  }
}

async function readSketch(path: string): Promise<CalibrationSketch | undefined> {
  const source = await FileSource.open(path);
  try {
    const magic = new TextDecoder("latin1").decode(await source.read(0, Math.min(4, source.byteLength)));
    // The older format has no room for it.
    const sketch = magic === "GGUF" ? sketchIn((await readGgufHeader(source)).metadata) : undefined;
    return sketch && { name: shownName(path), path, sketch };
  } finally {
    await source.close();
  }
}
