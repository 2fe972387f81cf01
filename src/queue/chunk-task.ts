/**
 * What one run does with its groups of chunks: all that decides a result but the group's own tokens. Its digest is part
 * of the queue's name, so that whoever could come to other results never sees a group.
 */
import { z } from "zod";
import { MalformedInputError } from "../errors.js";
import { isSealed, seal, sha256 } from "./seal.js";

/** Most characters of a task. */
const longestTask = 500_000;

const text = z.string().max(4000);

const hash = z.string().regex(/^[0-9a-f]{64}$/);

/** A name, or a folder's and one in it: nothing that leads elsewhere. */
const fileName = z
  .string()
  .max(600)
  .regex(/^(?!\.{1,2}(?:\/|$))[^/\\\0]+(?:\/(?!\.{1,2}$)[^/\\\0]+)?$/);

/** A file that the coordinator serves. */
const taskFile = z.strictObject({ name: fileName, sha256: hash, bytes: z.int().min(0) });

export type TaskFile = z.output<typeof taskFile>;

/** Most files of a model; one of more is not served. */
export const mostTaskFiles = 300;

/** A model that groups are run through. */
const taskModel = z.strictObject({
  /** An address, or the name of a file or folder. */
  name: text,
  /** SHA-256 of its contents; see `contentIdentity`. */
  identity: hash,
  /** Which processors have its layers; see `placementOf`. */
  placement: text,
  /** Its files for machines that do not reach it, the one to open first, or in a folder; absent if it is on a server. */
  files: z.array(taskFile).min(1).max(mostTaskFiles).optional(),
});

export type TaskModel = z.output<typeof taskModel>;

const run = {
  /** Of each run another, so that nobody is kept by what a dead one has left. */
  run: z.uuid(),
  /** Version of llama.cpp, and what of a machine decides the last bits of what it computes; see `describeEngine`. */
  engine: text,
  /** Tokens in a chunk. */
  context: z
    .int()
    .min(1)
    .max(2 ** 24),
  /** Chunks decoded together. */
  sequences: z.int().min(1).max(4096),
  gpuLayers: z.int().min(0).optional(),
};

/** Statistics of activations: see `collectGroup`. */
const imatrixTask = z.strictObject({
  kind: z.literal("imatrix"),
  ...run,
  models: z.tuple([taskModel]),
  processOutput: z.boolean(),
  expertOutputs: z.boolean(),
  /** Layers that predict further tokens are run too. */
  prediction: z.boolean(),
});

export type ImatrixTask = z.output<typeof imatrixTask>;

/** Scores of predictions, and their divergence from a reference: see `measureGroup`. */
const scoresTask = z.strictObject({
  kind: z.literal("scores"),
  ...run,
  models: z.array(taskModel).min(1).max(64),
  /** The last one is what the others are compared with. */
  hasReference: z.boolean(),
});

export type ScoresTask = z.output<typeof scoresTask>;

const chunkTask = z.discriminatedUnion("kind", [imatrixTask, scoresTask]);

export type ChunkTask = z.output<typeof chunkTask>;

/** A task as it is announced. */
export const sealedTask = z.strictObject({ text: z.string().max(longestTask), seal: z.string().max(64) });

export type SealedTask = z.output<typeof sealedTask>;

/** Makes of a task what may lie in Redis. */
export function sealTask(token: string, task: ChunkTask): SealedTask {
  const content = JSON.stringify(task);
  return { text: content, seal: seal(token, "task", content) };
}

/** Reads what lay in Redis. Throws a MalformedInputError for what no holder of the token has put there. */
export function openTask(token: string, sealed: SealedTask): ChunkTask {
  if (!isSealed(token, "task", sealed.text, sealed.seal)) {
    throw new MalformedInputError("refused work that was not announced with this queue's token.");
  }
  return chunkTask.parse(JSON.parse(sealed.text));
}

/** Digest of a task, by which its jobs are told. */
export function taskDigest({ text: content }: SealedTask): string {
  return sha256(content);
}
