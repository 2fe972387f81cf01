/** The file of kept activations of an imatrix run: what goes into it, and how much text is behind it. */
import { stat } from "node:fs/promises";
import { shownName } from "../bytes/address.js";
import { UsageError } from "../errors.js";
import type { KeptParams } from "../kept/collect.js";
import { hiddenSums } from "../kept/hidden-sums.js";
import { planKeptInputs } from "../kept/layers.js";
import { unfinishedPath } from "../kept/writer.js";
import type { ModelSource } from "../model/source.js";
import type { Imatrix } from "./imatrix.js";

export interface KeptCoverage {
  readonly output: string;
  readonly bytes: number;
  readonly bits: number;
  readonly layers: number;
  /** Tokens kept in each layer. */
  readonly tokens: number;
  /** Tokens that an expert saw for each of its input's columns: the mean over all, and of the least visited. */
  readonly tokensPerDimension: number;
  readonly fewestPerDimension: number;
}

interface KeptOptions {
  readonly model: string;
  readonly text: string;
  readonly dataset?: string | undefined;
  readonly activations?: string | undefined;
  readonly activationBits: "8" | "4";
}

/** What to keep. Throws a UsageError if the model has no routed experts whose input can be kept. */
export function keptParams(options: KeptOptions, source: ModelSource): KeptParams | undefined {
  const { activations: path, activationBits, model, text, dataset = text } = options;
  if (path === undefined) {
    return undefined;
  }
  const inputs = planKeptInputs(source.tensors, source.metadata);
  if (inputs.length === 0) {
    throw new UsageError(
      `${shownName(model)}: has no routed experts whose input could be kept; leave out \`activations\`.`,
      { model },
    );
  }
  return { path, inputs, bits: activationBits === "4" ? 4 : 8, dataset };
}

/** What is told of a file, and the sums of the hidden values, which the importance matrix of the same run has. */
export async function describeKept(
  { path, inputs, bits }: KeptParams,
  { entries, chunkCount, chunkSize }: Imatrix,
): Promise<{ coverage: KeptCoverage; hidden: Map<string, Float32Array> }> {
  const hidden = new Map<string, Float32Array>();
  const perDimension: number[] = [];
  for (const { name, weight, down, columns, experts } of inputs) {
    hidden.set(name, hiddenSums({ down, experts }, entries));
    perDimension.push(...[...(entries.get(weight)?.counts ?? [])].map((count) => count / columns));
  }
  const coverage = {
    output: path,
    bytes: (await stat(unfinishedPath(path))).size,
    bits,
    layers: inputs.length,
    tokens: chunkCount * chunkSize,
    tokensPerDimension:
      perDimension.reduce((sum, value) => sum + value, 0) / Math.max(1, perDimension.length),
    fewestPerDimension: perDimension.reduce((least, value) => Math.min(least, value), Infinity),
  };
  return { coverage, hidden };
}
