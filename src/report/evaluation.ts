/**
 * `evaluation.json`: everything that is known of a quantized model, and the only place that the card and the report
 * take a number from. The parts have the names and units of what the commands return, so that their results can be
 * put in as they are; what the schema does not know is left out. All parts that need a run of their own are optional.
 */
import { existsSync } from "node:fs";
import { z } from "zod";
import { readWholeText } from "../bytes/text-file.js";
import { describeIssue, parseJsonAs } from "../bytes/typed-json.js";
import { EnvironmentError, InternalError } from "../errors.js";
import { type MemoryTable, memoryTableSchema } from "../memory/memory-table-schema.js";
import { roles } from "../model/roles.js";
import { type TypeName, types } from "../quants/types.js";

/** What the file begins with. A change that older readers would misread gets another number. */
export const evaluationFormat = "lopsided-evaluation-1";

/** The file's name in the folder that `make` fills. */
export const evaluationFileName = "evaluation.json";

/** The page of all sizes that the model could have, in the same folder. */
export const explorerFileName = "explorer.html";

const count = z.int().nonnegative();
const positive = z.number().positive();
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const typeName = z.enum([...types.keys()] as [TypeName, ...TypeName[]]);
const fraction = z.number().min(0).max(1);

/** Where the weights come from; the last fields are the model's own metadata, see `describeOrigin`. */
const sourceSchema = z.object({
  /** MODEL as it was given to the command: the name of a local file or folder, an address without what may be a password. */
  given: z.string(),
  /** Size of its files, and the SHA-256 of each. */
  bytes: count,
  sha256: z.array(sha256).readonly(),
  parameters: count,
  bpw: positive,
  architecture: z.string(),
  /** Longest context that it was trained for. */
  contextLength: count.optional(),
  name: z.string().optional(),
  license: z.string().optional(),
  licenseName: z.string().optional(),
  licenseLink: z.string().optional(),
  /** Repository on the Hugging Face Hub that holds the source, `owner/name`. */
  repository: z.string().optional(),
  /** Repositories of models that the source was made from. */
  baseModels: z.array(z.string()).readonly(),
  tags: z.array(z.string()).readonly(),
  languages: z.array(z.string()).readonly(),
});

/** A text that a model was run on, in chunks of `context` tokens. */
const textSchema = z.object({
  /** The file's name. */
  name: z.string(),
  sha256,
  chunks: count,
  context: count,
  tokens: count,
  /** Whether control tokens in it were read as such. */
  parseSpecial: z.boolean(),
});

const recipeSchema = z.object({
  name: z.string(),
  /** The recipe file. */
  text: z.string(),
  /** Only if `plan` chose the types: see `PlanResult`. */
  plan: z
    .object({
      budget: z.object({ title: z.string(), bytes: count, used: count }),
      /** KL divergence to expect, in nats, and below what no recipe within the budget is. */
      predicted: z.number(),
      bound: z.number(),
      sensitivity: z.string(),
      errors: z.enum(["measured", "typical"]),
      /** Numbers of experts in each layer that were weighed, padded or not: see `WeighedVariant`. */
      weighed: z
        .array(
          z.object({
            experts: count,
            padded: z.boolean(),
            bytes: count,
            bpw: positive,
            predicted: z.number(),
          }),
        )
        .readonly()
        .optional(),
    })
    .optional(),
});

/** What became of the routed experts besides their types: see `ChangedExperts`. */
const expertsSchema = z.object({
  count: z.object({ before: count, after: count, lost: fraction.optional() }).optional(),
  width: z.object({ before: count, after: count }).optional(),
});

const groupSchema = z.object({
  role: z.string(),
  type: typeName,
  count,
  parameters: count,
  bytes: count,
});

const tensorSchema = z.object({
  name: z.string(),
  role: z.enum(roles),
  shape: z.array(count).readonly(),
  from: typeName,
  to: typeName,
  bytes: count,
  /** Importance-weighted squared error relative to the weights' own. */
  relativeError: z.number().nonnegative().optional(),
});

/** Tokens of the calibration text that the experts of a tensor saw: see `ExpertCoverage`. */
const coverageSchema = z.object({
  tensor: z.string(),
  experts: count,
  columns: count.optional(),
  unseen: count,
  fewest: count,
  most: count,
  fewestPerDimension: z.number().nonnegative().optional(),
  medianPerDimension: z.number().nonnegative().optional(),
  tokens: z.array(count).readonly(),
});

/** Means over the scored positions of a chunk: see `ChunkScore`. */
const chunkScoreSchema = z.object({
  positions: count,
  nll: z.number(),
  referenceNll: z.number().optional(),
  kld: z.number().optional(),
  topAgreement: fraction.optional(),
});

const divergenceSchema = z.object({
  mean: z.number(),
  meanError: z.number(),
  median: z.number(),
  p90: z.number(),
  p99: z.number(),
  p999: z.number(),
  max: z.number(),
});

/** What was measured on one text, or on all together; the second half only if the source was run beside. */
const measuredSchema = z.object({
  ppl: positive,
  pplError: z.number(),
  /** Scored tokens. */
  positions: count,
  pplRatio: positive.optional(),
  pplRatioError: z.number().optional(),
  kld: divergenceSchema.optional(),
  topAgreement: fraction.optional(),
  topAgreementError: z.number().optional(),
  deltaP: z.object({ mean: z.number(), rms: z.number() }).optional(),
});

const textMeasurementSchema = measuredSchema.extend({
  name: z.string(),
  chunks: count,
  /** Share of what is scored that the model was calibrated on. */
  calibratedOn: fraction.optional(),
  /** In the order of the text, so that others can pair theirs. */
  perChunk: z.array(chunkScoreSchema).readonly(),
});

/** How a layer's router differs from the source's: see `RoutingOfLayer`. */
const routingSchema = z.object({
  layer: count,
  tokens: count,
  sameExperts: fraction,
  sharedExperts: fraction,
  movedProbability: z.number().optional(),
});

/** How far the source is from itself: see `Floor`. */
const floorSchema = z.object({
  between: z.string(),
  chunks: count,
  positions: count,
  kld: divergenceSchema,
  topAgreement: fraction,
  sameExperts: fraction.optional(),
  texts: z.array(z.object({ name: z.string(), mean: z.number(), error: z.number() })).readonly(),
});

/** Means over the scored positions in a part of the chunks: see `ScoredRange`. */
const rangeSchema = z.object({
  from: count,
  to: count,
  positions: count,
  nll: z.number(),
  kld: z.number().optional(),
});

/** What `perplexity` returns. */
const measurementSchema = measuredSchema.extend({
  texts: z.array(textMeasurementSchema).readonly().optional(),
  byPosition: z.array(rangeSchema).readonly().optional(),
  routing: z.array(routingSchema).readonly().optional(),
  floor: floorSchema.optional(),
});

/** Tasks of one kind that a model solved, with the ends of the 95 % interval of its rate. */
const passRateSchema = z.object({
  kind: z.string(),
  passed: count,
  total: count,
  low: fraction,
  high: fraction,
});

/** What a model's answers are like: see `Habits`. */
const habitsSchema = z.object({
  answers: count,
  tokens: z.number().nonnegative(),
  truncated: count,
  repeating: count,
  openFences: count,
  json: count,
  brokenJson: count,
  calls: z.object({ asked: count, written: count, known: count, valid: count }).optional(),
});

/** How long answers are beside the source's: see `LengthRatio`. */
const lengthSchema = z.object({ ratio: positive, low: positive, high: positive, tasks: count });

/** A model to compare: the source itself, the quantized model, a baseline. */
const variantSchema = z.object({
  id: z.enum(["source", "quantized", "baseline", "other"]),
  label: z.string(),
  /** Size of its files. */
  bytes: count,
  bpw: positive,
  measurement: measurementSchema.optional(),
  tasks: z.array(passRateSchema).readonly().optional(),
  habits: habitsSchema.optional(),
  length: lengthSchema.optional(),
});

/** A task that the quantized model was given. */
const checkSchema = z.object({
  kind: z.string(),
  prompt: z.string(),
  answer: z.string(),
  passed: z.boolean(),
});

export const evaluationSchema = z.object({
  format: z.literal(evaluationFormat),
  /** `Qwen3-Coder-30B-A3B-Instruct-asym-IQ2_S`. */
  name: z.string().min(1),
  /** `asym-IQ2_S`. */
  variant: z.string().min(1),
  /** The command line that made it. */
  command: z.string(),
  tools: z.object({
    lopsided: z.string(),
    /** Release of llama.cpp's library that ran the models. */
    llamaCpp: z.string().optional(),
    node: z.string(),
  }),
  source: sourceSchema,
  recipe: recipeSchema,
  options: z.object({
    effort: z.string(),
    /** Whether second moments of the inputs were used. */
    moments: z.boolean(),
    /** Whether the scales of routed experts were fitted afterwards; errors of tensors are those before. */
    scales: z.boolean().optional(),
    priorWeight: z.number().optional(),
  }),
  calibration: textSchema.optional(),
  /** The texts that the variants were measured on. */
  evaluations: z.array(textSchema).readonly().optional(),
  tasks: z.object({ name: z.string(), sha256, count }).optional(),
  /** The quantized model. */
  output: z.object({
    bytes: count,
    tensorBytes: count,
    parameters: count,
    bpw: positive,
    experts: expertsSchema.optional(),
  }),
  /** What lies in the folder, by name: the model file or files, then the rest. */
  files: z.array(z.object({ name: z.string(), bytes: count, sha256 })).readonly(),
  groups: z.array(groupSchema).readonly(),
  tensors: z.array(tensorSchema).readonly(),
  coverage: z.array(coverageSchema).readonly().optional(),
  variants: z.array(variantSchema).readonly(),
  memory: memoryTableSchema.optional(),
  checks: z.array(checkSchema).readonly().optional(),
});

export type Evaluation = z.infer<typeof evaluationSchema>;
export type Measurement = z.infer<typeof measurementSchema>;
export type TextMeasurement = z.infer<typeof textMeasurementSchema>;
export type RecordedPassRate = z.infer<typeof passRateSchema>;
export type Variant = z.infer<typeof variantSchema>;
export type EvaluatedText = z.infer<typeof textSchema>;
export type { MemoryTable };

/** Larger files are no evaluation: one of 60 layers of 512 experts has about half a megabyte. */
const largestFile = 64 << 20;

/**
 * The text of an `evaluation.json`: what the schema knows of `evaluation`, in the schema's order, so that the same
 * results give the same bytes. Throws an InternalError if the evaluation is none.
 */
export function renderEvaluation(evaluation: Evaluation): string {
  const result = evaluationSchema.safeParse(evaluation);
  if (!result.success) {
    throw new InternalError(`the evaluation is not valid: ${describeIssue(result.error)}`);
  }
  return `${JSON.stringify(result.data, undefined, 1)}\n`;
}

/**
 * Reads an `evaluation.json`. Throws an EnvironmentError if it cannot be read, a MalformedInputError that names the
 * place if it is none.
 */
export async function readEvaluation(path: string): Promise<Evaluation> {
  if (!existsSync(path)) {
    const problem = "there is no such file; `lopsided make` writes it when a model is finished.";
    throw new EnvironmentError(`${path}: ${problem}`, { file: path });
  }
  const text = await readWholeText(path, largestFile);
  const kind = { kind: "an evaluation of this version of Lopsided", advice: "run make again" };
  return parseJsonAs(evaluationSchema, text, path, kind);
}
