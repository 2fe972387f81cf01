/** The stage `source`: what the model is, and a local GGUF file of it that llama.cpp can run. */
import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { runsInWindows } from "../activations/window-plan.js";
import { shownAddress } from "../bytes/address.js";
import { memoryLimitBytes } from "../engine/limits.js";
import { type Metadata, metadataString } from "../gguf/metadata.js";
import { Architecture } from "../model/architecture.js";
import type { ConversionTarget } from "../model/huggingface/conversion.js";
import { openModel } from "../model/open.js";
import { roleOf } from "../model/roles.js";
import { type ModelSource, weightCount } from "../model/source.js";
import { type ModelSummary, summarize, tensorsWithRoles } from "../model/summary.js";
import { convert } from "../quantize/convert.js";
import { type TypeName, traitsOf } from "../quants/types.js";
import { schemeOf } from "../remote/address-schemes.js";
import { identityOf } from "../write/fingerprint.js";
import { downloadModel } from "./download.js";
import type { ResolvedMakeOptions } from "./make-command.js";
import { baseNameOf } from "./names.js";
import { type MakeRun, writeOptions } from "./run.js";
import type { StageContext } from "./stages.js";

/** What is read of the source at the start of every run. */
export interface SourceFacts extends ModelSummary {
  /** MODEL as it may be shown: without what follows a question mark in an address, which may be a password. */
  readonly model: string;
  /** Stands for its weights and metadata. */
  readonly identity: string;
  /** Size of its files. */
  readonly bytes: number;
  readonly metadata: Metadata;
  readonly architecture: string;
  /** First part of the files' names. */
  readonly name: string;
  /** Weights that a token passes through. */
  readonly activeParameters: number;
  readonly place: "gguf" | "folder" | "remote gguf" | "remote folder";
  /** Its layers can be run by themselves. */
  readonly runsInWindows: boolean;
}

export interface SourceResult {
  readonly model: string;
  /** What llama.cpp runs: the source itself, or a GGUF file that was made of it in the work folder. */
  readonly runnable: string;
  /** Files that were made in the work folder. */
  readonly made: readonly string[];
  readonly bytes: number;
  readonly parameters: number;
  readonly bpw: number;
  readonly groups: ModelSummary["groups"];
}

export interface PreparedSource extends SourceResult {
  /** What `quantize` reads: what runs, but of a local folder the folder itself. */
  readonly quantizeFrom: string;
}

/** Reads the model's headers. Errors: see `openModel`. */
export async function readSource(options: ResolvedMakeOptions): Promise<SourceFacts> {
  const source = await openModel(options.model, { signal: options.signal });
  try {
    const summary = summarize(tensorsWithRoles(source));
    return {
      ...summary,
      model: shownAddress(options.model),
      identity: `${await identityOf(source)} ${metadataSha256(source.metadata)}`,
      bytes: source.byteLength,
      metadata: source.metadata,
      architecture: metadataString(source.metadata, "general.architecture") ?? "unknown",
      name: options.name ?? baseNameOf(options.model),
      activeParameters: activeParameters(source),
      place: await placeOf(options.model),
      runsInWindows: runsInWindows(source),
    };
  } finally {
    await source.close();
  }
}

/**
 * Whether a checkpoint is run where it lies, some layers at a time, and nothing of it is stored: one on a server, and
 * one whose conversion would not fit in memory.
 */
export function isRunInPlace({ place, parameters, runsInWindows }: SourceFacts): boolean {
  const isFolder = place === "remote folder" || place === "folder";
  return (
    isFolder &&
    runsInWindows &&
    (place === "remote folder" || convertedBytes * parameters > memoryLimitBytes())
  );
}

/** Bytes of a weight in a conversion. */
export const convertedBytes = 2;

/** Makes the source runnable: what is no local GGUF file is converted or downloaded, unless it can be run in place. */
export async function prepareSource(run: MakeRun, facts: SourceFacts): Promise<PreparedSource> {
  const { options, stages } = run;
  const { model } = options;
  const { bytes, parameters, bpw, groups, place } = facts;
  const isInPlace = isRunInPlace(facts);
  if (isInPlace) {
    options.onWarning?.(
      `${facts.model}: is run some layers at a time and read where it lies whenever it is needed; nothing of it is stored, and it is not given the tasks.`,
    );
  }
  const done = await stages.run({
    name: "source",
    inputs: { model: facts.identity, place: place === "gguf" ? model : isInPlace ? "in place" : place },
    run: async (context): Promise<SourceResult> => {
      const made = place === "gguf" || isInPlace ? [] : await makeRunnable(run, facts, context);
      return { model: facts.model, runnable: made[0] ?? facts.model, made, bytes, parameters, bpw, groups };
    },
    files: ({ made }) => made.map((path) => ({ path })),
  });
  // What follows a question mark in an address is not in the result, which is kept.
  const runnable = isInPlace || place === "gguf" ? model : done.result.runnable;
  return { ...done.result, runnable, quantizeFrom: place === "folder" ? model : runnable };
}

async function makeRunnable(run: MakeRun, facts: SourceFacts, context: StageContext): Promise<string[]> {
  const { options, folder } = run;
  const why =
    facts.place === "remote gguf" ? "llama.cpp runs local GGUF files only" : "llama.cpp runs GGUF files only";
  if (facts.place === "remote gguf") {
    options.onWarning?.(`${why}: ${facts.model} is downloaded to ${folder.work} (${facts.bytes} bytes).`);
    const controls = { onProgress: context.onProgress, signal: options.signal, continues: context.continues };
    return await downloadModel(options.model, folder.workFile("source"), controls);
  }
  const type = conversionTarget(facts.groups);
  const output = folder.workFile(`${facts.name}-${type}.gguf`);
  options.onWarning?.(`${why}: ${facts.model} is converted to ${output}.`);
  await convert({ ...writeOptions(run, context), folder: options.model, output, type });
  return [output];
}

/** The type that loses nothing of what most weights are; packed ones become BF16, as in llama.cpp's converter. */
function conversionTarget(groups: ModelSummary["groups"]): ConversionTarget {
  const [largest] = [...groups].sort((a, b) => b.parameters - a.parameters);
  const isPlain = largest?.packed === undefined && (largest?.type === "F32" || largest?.type === "F16");
  return isPlain ? largest.type : "BF16";
}

async function placeOf(model: string): Promise<SourceFacts["place"]> {
  const scheme = schemeOf(model);
  if (scheme !== undefined) {
    return scheme.kindOf(model) === "file" ? "remote gguf" : "remote folder";
  }
  return (await stat(model)).isDirectory() ? "folder" : "gguf";
}

/** Weights that a token passes through: of routed experts only those used. */
function activeParameters({ tensors, metadata }: ModelSource): number {
  const { experts, expertsUsed } = new Architecture(metadata);
  const share = experts > 0 ? Math.min(1, expertsUsed / experts) : 1;
  return tensors.reduce((sum, { name, shape }) => {
    return sum + (roleOf(name).startsWith("routed.") ? share : 1) * weightCount(shape);
  }, 0);
}

function metadataSha256(metadata: Metadata): string {
  const hash = createHash("sha256");
  for (const [key, value] of metadata) {
    hash.update(JSON.stringify([key, value], (_, item) => (typeof item === "bigint" ? `${item}n` : item)));
  }
  return hash.digest("hex");
}

/** Types that models are trained in or published in: what has them is the original, and is copied. */
const publishedTypes: ReadonlySet<TypeName> = new Set(["Q8_0", "MXFP4", "NVFP4"]);

/** Whether a source lost precision before: quantizing it again needs to be wanted. */
export function isBelowEightBits(groups: ModelSummary["groups"]): boolean {
  return groups.some(({ type }) => traitsOf(type).quantized && !publishedTypes.has(type));
}
