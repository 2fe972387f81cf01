/** The options of `quantize` besides the recipe that decide the output's bytes. Paths and threads do not. */
import type { TypeOverrides } from "../recipe/overrides.js";

export interface ByteOptions extends TypeOverrides {
  readonly effort?: string | undefined;
  readonly priorWeight?: number | undefined;
  readonly includeWeights?: readonly string[] | undefined;
  readonly excludeWeights?: readonly string[] | undefined;
  readonly padExperts?: boolean | undefined;
  readonly mtp?: string | undefined;
}

/** As JSON. */
export function byteOptions(options: ByteOptions): string {
  const { tensorTypes, tokenEmbeddingType, outputTensorType, pure, leaveOutputTensor, keepSplit } = options;
  const { copyLowBit, padExperts, mtp, priorWeight, includeWeights, excludeWeights, effort } = options;
  // What is not asked for is left out, whether it was given as empty or not at all.
  const asked = <T extends readonly unknown[]>(list: T | undefined) => (list?.length ? list : undefined);
  return JSON.stringify({
    effort,
    tensorTypes: asked(tensorTypes),
    tokenEmbeddingType,
    outputTensorType,
    pure: pure || undefined,
    leaveOutputTensor: leaveOutputTensor || undefined,
    keepSplit: keepSplit || undefined,
    copyLowBit: copyLowBit || undefined,
    priorWeight,
    includeWeights: asked(includeWeights),
    excludeWeights: asked(excludeWeights),
    padExperts: padExperts || undefined,
    mtp: mtp === "embed" ? undefined : mtp,
  });
}
