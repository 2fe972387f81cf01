/**
 * Which tensors llama.cpp wants for a model's metadata, and of what shapes: asked of its own loader, which names a
 * missing tensor and the shape that a wrong one should have. It runs in the engine's process, because what it
 * does not like it may abort on.
 */
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defineJob, type JobHost } from "../../engine/job.js";
import { noFiles } from "../../engine/job-files.js";
import { C } from "../../engine/native.js";
import { planGguf } from "../../gguf/layout.js";
import type { Metadata } from "../../gguf/metadata.js";

export interface WantedTensor {
  readonly name: string;
  /** Row length first. */
  readonly shape: readonly number[];
}

interface Params {
  readonly metadata: Metadata;
  /** Names that the loader need not have but may use; those that it does not use are left out. */
  readonly optional: readonly { readonly name: string; readonly shape?: readonly number[] }[];
}

interface Guess {
  readonly name: string;
  shape: number[];
  /** Whether the loader has looked at it. */
  isSeen: boolean;
}

const mostLoads = 4000;

/** Throws an Error with llama.cpp's last lines if it refuses the metadata. */
export const findWantedTensors = defineJob(
  import.meta.url,
  "findWantedTensors",
  noFiles,
  ({ metadata, optional }: Params, host: JobHost): WantedTensor[] => {
    const folder = mkdtempSync(join(tmpdir(), "lopsided-probe-"));
    try {
      const guesses = optional.map(
        ({ name, shape }): Guess => ({ name, shape: [...(shape ?? [1])], isSeen: shape !== undefined }),
      );
      for (let loads = 0; loads < mostLoads; loads++) {
        const answer = tryLoad(join(folder, "probe.gguf"), metadata, guesses, host);
        if (answer === undefined) {
          return guesses.map(({ name, shape }) => ({ name, shape }));
        }
        improve(guesses, answer);
      }
      throw new Error("llama.cpp wants more tensors than any tiny model has");
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
);

/** Loads a file that has a header and no contents; what llama.cpp logged if it does not take it. */
function tryLoad(path: string, metadata: Metadata, guesses: readonly Guess[], host: JobHost) {
  const { library } = host;
  const { native, log } = library;
  const tensors = guesses.map(({ name, shape }) => ({ name, shape, type: "F32" as const }));
  const layout = planGguf({ metadata, tensors });
  const file = openSync(path, "w");
  writeSync(file, layout.header);
  ftruncateSync(file, layout.byteLength);
  closeSync(file);
  const mark = log.mark;
  const model = native.llama_model_load_from_file(path, {
    ...native.llama_model_default_params(),
    n_gpu_layers: 0,
    load_mode: C.loadMode.read,
    no_alloc: true,
    use_extra_bufts: false,
    load_mtp: true,
  });
  if (model === 0) {
    return log
      .since(mark)
      .map(({ text }) => text)
      .join("\n");
  }
  native.llama_model_free(model);
  return undefined;
}

/** Corrects what the log complains of. */
function improve(guesses: Guess[], log: string): void {
  const wrong = /tensor '([^']+)' has wrong shape; expected ([\d, ]+), got/.exec(log);
  const missing = /(?:missing tensor|tensor) '([^']+)'(?: not found)?$/m.exec(log)?.[1];
  const unused = guesses.findIndex(({ isSeen }) => !isSeen);
  const guess = guesses.find(({ name }) => name === wrong?.[1]);
  if (wrong !== null && guess !== undefined) {
    guess.shape = (wrong[2] ?? "").split(",").map(Number);
    while (guess.shape.length > 1 && guess.shape.at(-1) === 1) {
      guess.shape.pop();
    }
    guess.isSeen = true;
  } else if (missing !== undefined && !guesses.some(({ name }) => name === missing)) {
    guesses.push({ name: missing, shape: [1], isSeen: false });
  } else if (/wrong number of tensors/.test(log) && unused >= 0) {
    guesses.splice(unused, 1);
  } else {
    throw new Error(`llama.cpp refuses the model: ${log.split("\n").slice(-4).join(" | ")}`);
  }
}
