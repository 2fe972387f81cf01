/** Answers of the tiny model under the grammars of random schemas, judged by ajv. */
import { Ajv2020 } from "ajv/dist/2020.js";
import { default as addFormats } from "ajv-formats";
import type { Generator } from "../generate/generator.js";
import { schemaToGrammar } from "../generate/grammar/json-schema.js";
import { RandomNumbers } from "../generate/random.js";
import { randomSchema } from "./random-schema.js";

export interface ConstrainedOutcome {
  readonly schema: unknown;
  readonly text: string;
  /** Whether the answer came to its end; one that was cut cannot validate. */
  readonly isWhole: boolean;
  /** What ajv finds wrong with a whole answer. */
  readonly fault: string | undefined;
}

/** Asks for an answer under the schema that belongs to a seed. */
export async function constrainedAnswer(generator: Generator, seed: number): Promise<ConstrainedOutcome> {
  const schema = randomSchema(new RandomNumbers(seed));
  const { text, finishReason } = await generator.generate({
    prompt: "<|im_start|>user\nGive me an example.<|im_end|>\n<|im_start|>assistant\n",
    grammar: { gbnf: schemaToGrammar(schema) },
    sampling: { seed, temperature: 0.5 + (seed % 3), ...(seed % 2 ? { topK: 0, topP: 1, minP: 0 } : {}) },
    maxTokens: 900,
  });
  const isWhole = finishReason === "stop";
  return { schema, text, isWhole, fault: isWhole ? findFault(schema, text) : undefined };
}

/** What is wrong with a text under a schema, if anything. */
export function findFault(schema: object, text: string): string | undefined {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats.default(ajv);
  try {
    const validate = ajv.compile(schema);
    return validate(JSON.parse(text)) ? undefined : ajv.errorsText(validate.errors);
  } catch (error) {
    return String(error);
  }
}
