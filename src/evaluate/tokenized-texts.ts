/** Texts in the tokens of the models that are measured on them. */
import type { Sweep } from "../activations/sweep.js";
import { UsageError } from "../errors.js";
import { sequencesTogether } from "../text/chunks.js";
import type { TextInput } from "../text/text-input.js";
import { type EvaluatedTexts, firstScoredIn, readEvaluatedTexts } from "./evaluated-texts.js";

export interface TextsToTokenize {
  readonly texts: readonly TextInput[];
  /** Tokens in a chunk. */
  readonly context: number;
  /** Most chunks of each text; all of it if undefined. */
  readonly chunks: number | undefined;
}

/** The texts in the tokens of all models. Throws a UsageError if these differ. */
export async function tokenizedTexts(
  wanted: TextsToTokenize,
  sweeps: readonly Sweep[],
): Promise<EvaluatedTexts> {
  const [first, ...others] = sweeps as [Sweep, ...Sweep[]];
  return await readEvaluatedTexts(wanted.texts, wanted, (text, parseSpecial) => {
    const tokens = first.tokenize(text, parseSpecial);
    for (const other of others) {
      const sizes = [first.facts.vocabularySize, other.facts.vocabularySize] as const;
      const same = Buffer.from(tokens.buffer).equals(Buffer.from(other.tokenize(text, parseSpecial).buffer));
      if (sizes[0] !== sizes[1] || !same) {
        throw new UsageError(
          `${first.name} and ${other.name} cut the text into different tokens (from vocabularies of ${sizes[0]} and ${sizes[1]}). Only models with the same tokens can be compared.`,
        );
      }
    }
    return tokens;
  });
}

/** Of each chunk, the first position that is scored. */
export function firstScoredPositions(texts: EvaluatedTexts): number[] {
  return Array.from({ length: texts.chunks }, (_, chunk) => firstScoredIn(texts, chunk));
}

/** Chunks to decode together: the models may be of several architectures, and are decoded side by side. */
export function sequencesOfAll(texts: EvaluatedTexts, sweeps: readonly Sweep[]): number {
  const logitsPerChunk = texts.context - Math.min(...firstScoredPositions(texts));
  return Math.min(...sweeps.map(({ facts }) => sequencesTogether(texts.context, logitsPerChunk, facts)));
}
