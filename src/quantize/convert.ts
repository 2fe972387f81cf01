/** `convert`: a Hugging Face folder to a GGUF file, without Python. */
import type { Metadata } from "../gguf/metadata.js";
import type { ConversionTarget } from "../model/huggingface/conversion.js";
import type { ConversionOptions } from "../model/huggingface/model.js";
import { openFolder } from "../model/open.js";
import { version } from "../version.js";
import type { WrittenOutput } from "../write/model-writer.js";
import type { SplitOptions } from "../write/output-plan.js";
import { type WriteControls, writeModel } from "../write/write-model.js";

export interface ConvertOptions extends WriteControls, SplitOptions, ConversionOptions {
  /** Folder with config.json, tokenizer and safetensors, or hf://owner/repository. */
  readonly folder: string;
  /** Path of the GGUF file to write. */
  readonly output: string;
  /**
   * What matrices become; norms and routers stay F32, as in llama.cpp's converter. "auto" is the type that most of
   * them are stored as, or BF16 where they are packed.
   */
  readonly type: ConversionTarget | "auto";
}

export interface ConvertResult extends WrittenOutput {
  /** Number of tensors. */
  readonly tensors: number;
  readonly seconds: number;
}

/** Converts a model. Errors: see `openFolder` and `writeModel`. */
export async function convert(options: ConvertOptions): Promise<ConvertResult> {
  const started = performance.now();
  const { prediction, fuseGateAndUp, fp8AsQ8 } = options;
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
