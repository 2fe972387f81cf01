/** `convert`: a Hugging Face folder to a GGUF file, without Python. */
import type { ResolvedOptionsOf } from "../contract/command.js";
import { UsageError } from "../errors.js";
import type { Metadata } from "../gguf/metadata.js";
import type { ConversionOptions } from "../model/huggingface/model.js";
import { openFolder } from "../model/open.js";
import { predictionPath } from "../model/prediction-layers.js";
import { version } from "../version.js";
import type { WrittenOutput } from "../write/model-writer.js";
import { writeModel } from "../write/write-model.js";
import { type ConvertOptions, convertCommand } from "./convert-command.js";

export interface ConvertResult extends WrittenOutput {
  /** Number of tensors. */
  readonly tensors: number;
  /** The file of the layers that predict further tokens, if they were to have one of their own. */
  readonly prediction?: WrittenOutput;
  readonly seconds: number;
}

/** Converts a model. Errors: see `openFolder` and `writeModel`. */
export async function convert(given: ConvertOptions): Promise<ConvertResult> {
  const started = performance.now();
  const options = convertCommand.read(given);
  const { mtp, mmproj, output } = options;
  if (mmproj && (mtp !== undefined || options.fuseGateUpExps)) {
    throw new UsageError(
      "`mtp` and `fuseGateUpExps` are about the text model, which is not in a file of `mmproj`; leave them out.",
    );
  }
  if (mtp === "separate") {
    // First, so that an interrupted run repeats the smaller file.
    const { tensors: _, ...prediction } = await convertPart(options, "only", predictionPath(output));
    const model = await convertPart(options, "none", output);
    return { ...model, prediction, seconds: (performance.now() - started) / 1000 };
  }
  const wanted = { drop: "none", only: "only", embed: "embedded" } as const;
  const converted = await convertPart(options, mtp && wanted[mtp], output);
  return { ...converted, seconds: (performance.now() - started) / 1000 };
}

/** Writes one file or set: the model as its family has it, or with or without the layers that predict further tokens. */
async function convertPart(
  { fuseGateUpExps: fuseGateAndUp, fp8AsQ8, mmproj, ...options }: ResolvedOptionsOf<typeof convertCommand>,
  prediction: ConversionOptions["prediction"],
  output: string,
): Promise<Omit<ConvertResult, "seconds" | "prediction">> {
  const layout = { prediction, fuseGateAndUp, fp8AsQ8, mmproj };
  const source = await openFolder(options.folder, { signal: options.signal, ...layout });
  try {
    const target = options.type === "auto" ? source.storedTarget : options.type;
    const { relativeErrors: _, ...written } = await writeModel({
      ...options,
      output,
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
    return { ...written, tensors: source.tensors.length };
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
