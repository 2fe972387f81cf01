/** `convert`: a Hugging Face folder to a GGUF file, without Python. */
import type { Metadata } from "../gguf/metadata.js";
import { openFolder } from "../model/open.js";
import { version } from "../version.js";
import type { WrittenOutput } from "../write/model-writer.js";
import { writeModel } from "../write/write-model.js";
import { type ConvertOptions, convertCommand } from "./convert-command.js";

export interface ConvertResult extends WrittenOutput {
  /** Number of tensors. */
  readonly tensors: number;
  readonly seconds: number;
}

/** Converts a model. Errors: see `openFolder` and `writeModel`. */
export async function convert(given: ConvertOptions): Promise<ConvertResult> {
  const started = performance.now();
  const { mtp, fuseGateUpExps: fuseGateAndUp, fp8AsQ8, ...options } = convertCommand.read(given);
  const prediction = mtp === undefined ? undefined : mtp ? ("only" as const) : ("none" as const);
  const layout = { prediction, fuseGateAndUp, fp8AsQ8 };
  const source = await openFolder(options.folder, { signal: options.signal, ...layout });
  try {
    const target = options.type === "auto" ? source.storedTarget : options.type;
    const { relativeErrors: _, ...written } = await writeModel({
      ...options,
      source,
      tensors: source.tensors.map((tensor) => ({
        source: tensor,
        type: source.conversionType(tensor, target),
      })),
      metadata: (sourceSha256) => convertedMetadata(source.metadata, source.fileType(target), sourceSha256),
      step: "convert",
      inputs: { "target type": target, layout: JSON.stringify(layout) },
      reads: [options.folder],
    });
    return {
      ...written,
      tensors: source.tensors.length,
      seconds: (performance.now() - started) / 1000,
    };
  } finally {
    await source.close();
  }
}

function convertedMetadata(source: Metadata, fileType: number, sourceSha256: readonly string[]): Metadata {
  return new Map(source)
    .set("general.file_type", { type: "uint32", value: fileType })
    .set("lopsided.version", { type: "string", value: version })
    .set("lopsided.source.sha256", { type: "array", itemType: "string", value: sourceSha256 });
}
