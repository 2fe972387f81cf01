/** Effort max with a calibration text in place of files: what it must know of the inputs is collected beside the output. */
import { createHash } from "node:crypto";
import { mkdir, readFile, rm, stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { dirname, join, resolve } from "node:path";
import { sourceIdentity } from "../activations/source-identity.js";
import { writeTextFile } from "../bytes/atomic-write.js";
import { allocatedBytes, freeBytes } from "../bytes/disk.js";
import { checkOutputs } from "../bytes/overwriting.js";
import { imatrix } from "../imatrix/compute.js";
import { chooseMaxEffort, type MaxEffort } from "../imatrix/max-effort.js";
import { unfinishedPath } from "../kept/writer.js";
import { openModelToRun } from "../model/open.js";
import { version } from "../version.js";
import type { ResolvedQuantizeOptions } from "./quantize-command.js";

/** Bytes of text that are a token at least, for bounds. */
const bytesPerToken = 3;

/** Where it lies until the output is written. */
export function collectionFolder(output: string): string {
  return `${output}.calibration`;
}

/**
 * Chooses what to collect, says so, and collects it: the options with the files, and with the importance matrix of
 * the same text unless another is given, which says what each expert adds if `expertOutputs`. What an earlier run collected of the same model and text is used again.
 * Errors: see `imatrix`.
 */
export async function collectInputs(
  options: ResolvedQuantizeOptions,
  text: string,
  expertOutputs: boolean,
): Promise<ResolvedQuantizeOptions> {
  const { model, output, dryRun, engine, onProgress, onWarning, signal } = options;
  const folder = collectionFolder(output);
  const file = (name: string) => join(folder, name);
  const files = { imatrix: file("imatrix.gguf"), moments: file("moments"), activations: file("activations") };
  const { chosen, identity } = await choose(options, text, files.activations, expertOutputs);
  options.onNotice?.(chosen.sentence);
  if (dryRun) {
    return options;
  }
  const moments = chosen.momentsOf.length > 0 ? files.moments : undefined;
  const activations = chosen.activationBits && files.activations;
  const done = file("done");
  if ((await readFile(done, "utf8").catch(() => "")) !== identity) {
    await checkOutputs(Object.values(files), [model, text, options.imatrix, options.recipe]);
    await mkdir(folder, { recursive: true });
    await rm(done, { force: true });
    await imatrix({
      model,
      text,
      output: files.imatrix,
      ...(moments !== undefined && { moments, momentsOf: chosen.momentsOf }),
      ...(activations !== undefined && { activations, activationBits: chosen.activationBits }),
      expertOutputs,
      parseSpecial: true,
      engine,
      onProgress,
      onWarning,
      signal,
    });
    await writeTextFile(done, identity);
  }
  return {
    ...options,
    imatrix: options.imatrix ?? files.imatrix,
    moments,
    activations: activations === undefined ? undefined : [activations],
  };
}

/** Removes what was collected. */
export async function removeCollected(output: string): Promise<void> {
  await rm(collectionFolder(output), { recursive: true, force: true });
}

async function choose(
  { model, output, threads = availableParallelism(), signal }: ResolvedQuantizeOptions,
  text: string,
  activations: string,
  expertOutputs: boolean,
): Promise<{ chosen: MaxEffort; identity: string }> {
  const source = await openModelToRun(model, { signal });
  try {
    const free = await freeBytes(dirname(resolve(output)));
    const taken = (await allocatedBytes(activations)) + (await allocatedBytes(unfinishedPath(activations)));
    const tokens = Math.ceil((await stat(text)).size / bytesPerToken);
    const chosen = chooseMaxEffort(source, { tokens, threads, freeBytes: free && free + taken });
    const { activationBits, momentsOf } = chosen;
    const facts = [version, await sourceIdentity(source, text), activationBits, momentsOf, expertOutputs];
    const identity = createHash("sha256").update(JSON.stringify(facts)).digest("hex");
    return { chosen, identity };
  } finally {
    await source.close();
  }
}
