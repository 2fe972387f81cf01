/** `convert`: a Hugging Face folder to a GGUF file, without Python. */
import type { Metadata } from "../gguf/metadata.js";
import {
  type ConversionTarget,
  conversionFileType,
  conversionType,
} from "../model/huggingface/conversion.js";
import { openFolder } from "../model/open.js";
import { version } from "../version.js";
import type { WrittenOutput } from "../write/model-writer.js";
import type { SplitOptions } from "../write/output-plan.js";
import { type WriteControls, writeModel } from "../write/write-model.js";

export interface ConvertOptions extends WriteControls, SplitOptions {
  /** Folder with config.json, tokenizer and safetensors, or hf://owner/repository. */
  readonly folder: string;
  /** Path of the GGUF file to write. */
  readonly output: string;
  /** What matrices become; norms and routers stay F32, as in llama.cpp's converter. */
  readonly type: ConversionTarget;
}

export interface ConvertResult extends WrittenOutput {
  /** Number of tensors. */
  readonly tensors: number;
  readonly seconds: number;
}

/** Converts a model. Errors: see `openFolder` and `writeModel`. */
export async function convert(options: ConvertOptions): Promise<ConvertResult> {
  const started = performance.now();
  const source = await openFolder(options.folder, { signal: options.signal });
  try {
    const { relativeErrors: _, ...written } = await writeModel({
      ...options,
      source,
      tensors: source.tensors.map((tensor) => ({
        source: tensor,
        type: conversionType(tensor, options.type),
      })),
      metadata: (sourceSha256) => convertedMetadata(source.metadata, options.type, sourceSha256),
      step: "convert",
      inputs: { "target type": options.type },
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

function convertedMetadata(
  source: Metadata,
  target: ConversionTarget,
  sourceSha256: readonly string[],
): Metadata {
  return new Map(source)
    .set("general.file_type", { type: "uint32", value: conversionFileType(target) })
    .set("lopsided.version", { type: "string", value: version })
    .set("lopsided.source.sha256", { type: "array", itemType: "string", value: sourceSha256 });
}
