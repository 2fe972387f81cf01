/**
 * The forms of jobs. A job in Redis is a text and its seal; the text names data by content, and has none. What is in
 * Redis may be anybody's, so a worker looks at the seal first, then at the form, and does nothing else.
 */
import { z } from "zod";
import { describeIssue } from "../bytes/typed-json.js";
import { MalformedInputError } from "../errors.js";
import { efforts } from "../quants/effort.js";
import { rowBytes, type TypeName, types } from "../quants/types.js";
import { isSealed, seal } from "./seal.js";

/** Most characters of a job: names and shapes, never data. */
const longestJob = 100_000;

const hash = z.string().regex(/^[0-9a-f]{64}$/);
const name = z.string().max(4000);
const count = z.int().min(0);
const typeName = z.custom<TypeName>((value) => types.has(value as TypeName));

/** Data by the SHA-256 of its bytes. */
const reference = z.strictObject({ sha256: hash, bytes: count.max(2 ** 40) });

export type DataReference = z.output<typeof reference>;

/** Where rows come from, for workers that can read them there. */
const origin = z.strictObject({
  model: name,
  tensor: name,
  shape: z.array(count).min(1).max(8),
  firstRow: count,
  rows: count.min(1),
});

/** Most slices in a job. */
export const mostSlices = 16;

/** Slices of a tensor to encode that have all in common but their rows: see `Slice`. */
const encodeJob = z.strictObject({
  kind: z.literal("encode"),
  sourceType: typeName,
  targetType: typeName,
  columns: count.min(1).max(2 ** 24),
  effort: z.enum(efforts),
  measureOutputs: z.boolean(),
  importance: reference.optional(),
  moments: z.strictObject({ name, sums: reference, vectors: z.number().min(0) }).optional(),
  slices: z
    .array(z.strictObject({ label: name, firstRow: count, source: reference, origin: origin.optional() }))
    .min(1)
    .max(mostSlices),
});

export type EncodeJob = z.output<typeof encodeJob>;

/** Weights in a job's slices. */
export function weightsOf({ slices, sourceType, columns }: EncodeJob): number {
  const bytes = slices.reduce((sum, { source }) => sum + source.bytes, 0);
  return (bytes / rowBytes(sourceType, columns)) * columns;
}

/** A group of chunks to run through the models of a task: see `TokenGroup`. */
const chunksJob = z.strictObject({
  kind: z.literal("chunks"),
  /** Digest of the task, which the worker knows. */
  task: hash,
  first: count,
  chunks: count.min(1).max(2 ** 20),
  tokens: reference,
  scored: reference.optional(),
});

/** What a job asks for, by its kind. */
const work = z.discriminatedUnion("kind", [encodeJob, chunksJob]);

export type JobWork = z.output<typeof work>;

/** Of which run a job is, and who has its data. */
const job = z.strictObject({
  id: z.string().regex(/^[0-9a-f-]{36}\.\d{1,15}$/),
  coordinator: z
    .string()
    .max(300)
    .regex(/^http:\/\/[^/?#@\s]+$/),
  work,
});

export type QueueJob = z.output<typeof job>;

/** What lies in Redis. */
export interface SealedJob {
  readonly text: string;
  readonly seal: string;
}

const sealedJob = z.strictObject({ text: z.string().max(longestJob), seal: hash });

/** Makes of a job what may lie in Redis. */
export function sealJob(token: string, content: QueueJob): SealedJob {
  const text = JSON.stringify(content);
  return { text, seal: seal(token, "job", text) };
}

/** Reads what lay in Redis. Throws a MalformedInputError for what no holder of the token has put there. */
export function openJob(token: string, id: string | undefined, data: unknown): QueueJob {
  const sealed = sealedJob.safeParse(data);
  if (!sealed.success || !isSealed(token, "job", sealed.data.text, sealed.data.seal)) {
    throw new MalformedInputError("refused a job that was not made with this queue's token.");
  }
  const found = job.safeParse(JSON.parse(sealed.data.text));
  if (!found.success) {
    throw new MalformedInputError(`refused a job of an unknown form: ${describeIssue(found.error)}.`);
  }
  if (found.data.id !== id) {
    throw new MalformedInputError("refused a job under another one's name.");
  }
  return found.data;
}

/** The run that a job belongs to. */
export function runOf(id: string): string {
  return id.slice(0, id.indexOf("."));
}
