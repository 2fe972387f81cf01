/** `prune`: a model without the experts that add least to their layers. */
import { checkOutputs } from "../bytes/overwriting.js";
import type { Metadata } from "../gguf/metadata.js";
import { warnOfGuesses } from "../imatrix/changed-experts.js";
import { chooseExperts, type LayerChoice } from "../imatrix/expert-choice.js";
import { readImatrixFile, writeImatrixFile } from "../imatrix/file.js";
import { prunedImatrix } from "../imatrix/pruned.js";
import { Architecture } from "../model/architecture.js";
import type { HuggingFaceModel } from "../model/huggingface/model.js";
import { openModel } from "../model/open.js";
import { checkPrunable, withPrunedExperts } from "../model/pruned-experts.js";
import { type ModelSource, weightCount } from "../model/source.js";
import { version } from "../version.js";
import { describeOutput, type WrittenFile } from "../write/model-writer.js";
import { type OutputRequest, planOutput } from "../write/output-plan.js";
import { writeModel } from "../write/write-model.js";
import { type PruneOptions, pruneCommand } from "./prune-command.js";

export interface PruneResult {
  /** The file to open: the only one, or the first of a set. */
  readonly output: string;
  /** Size of all files together. */
  readonly bytes: number;
  /** What was written; absent in a dry run. */
  readonly files?: readonly WrittenFile[];
  /** Of the output file; absent in a dry run, and for a set, whose `files` have one each. */
  readonly sha256?: string;
  /** Path of the pruned model's importance matrix, if one was written. */
  readonly imatrix?: string;
  /** Experts in each layer, before and after. */
  readonly experts: { readonly before: number; readonly after: number };
  /** Weights of all tensors, before and after. */
  readonly parameters: { readonly before: number; readonly after: number };
  readonly layers: readonly LayerChoice[];
  readonly seconds: number;
}

/**
 * Prunes a model. Throws a UsageError if so many experts cannot be kept or the imatrix does not tell them apart, and
 * what `openModel` and `writeModel` throw.
 */
export async function prune(given: PruneOptions): Promise<PruneResult> {
  const started = performance.now();
  const options = pruneCommand.read(given);
  const { model, output, experts: after, imatrixOutput, dryRun } = options;
  await checkOutputs(dryRun ? [] : [output, imatrixOutput], [model, options.imatrix]);
  const source = await openModel(model, { signal: options.signal });
  try {
    checkPrunable(source, after);
    const imatrix = await readImatrixFile(options.imatrix);
    const layers = await chooseExperts(source, imatrix, after);
    warnOfGuesses(layers, options.onWarning);
    const kept = new Map(layers.map((choice) => [choice.layer, choice.kept]));
    const pruned = withPrunedExperts(source, kept);
    const request = { ...options, ...requestOf(source, pruned, output) };
    const written = dryRun
      ? describeOutput(planOutput(request).map(({ path, layout }) => ({ path, bytes: layout.byteLength })))
      : await writeModel({
          ...request,
          step: "prune",
          inputs: { "choice of experts": JSON.stringify(layers.map((choice) => choice.kept)) },
          reads: [model, options.imatrix],
        });
    if (imatrixOutput !== undefined && !dryRun) {
      await writeImatrixFile(imatrixOutput, prunedImatrix(imatrix, kept), "gguf");
    }
    const { relativeErrors: _, weights: __, ...files } = { relativeErrors: [], weights: 0, ...written };
    return {
      ...files,
      ...(imatrixOutput !== undefined && !dryRun && { imatrix: imatrixOutput }),
      experts: { before: new Architecture(source.metadata).experts, after },
      parameters: { before: parametersOf(source), after: parametersOf(pruned) },
      layers,
      seconds: (performance.now() - started) / 1000,
    };
  } finally {
    await source.close();
  }
}

/** Tensors keep their types; those of a folder get the types that `convert` gives them. */
function requestOf(source: ModelSource, pruned: ModelSource, output: string): OutputRequest {
  const folder = "conversionType" in source ? (source as HuggingFaceModel) : undefined;
  const target = folder?.storedTarget;
  const metadata: Metadata =
    folder && target !== undefined
      ? new Map(pruned.metadata).set("general.file_type", { type: "uint32", value: folder.fileType(target) })
      : pruned.metadata;
  return {
    source: pruned,
    output,
    tensors: pruned.tensors.map((tensor) => ({
      source: tensor,
      type: folder && target !== undefined ? folder.conversionType(tensor, target) : tensor.type,
    })),
    metadata: (sourceSha256) =>
      new Map(metadata)
        .set("lopsided.version", { type: "string", value: version })
        .set("lopsided.source.sha256", { type: "array", itemType: "string", value: sourceSha256 }),
  };
}

function parametersOf({ tensors }: ModelSource): number {
  return tensors.reduce((sum, { shape }) => sum + weightCount(shape), 0);
}
