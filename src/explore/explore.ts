/** `explore`: the page for a model, served on this computer or written for a web host. */
import { join } from "node:path";
import { modelFingerprint } from "../budget/model-fingerprint.js";
import type { Sensitivity } from "../budget/sensitivity/defaults.js";
import { openSensitivity } from "../budget/sensitivity/open.js";
import { shownName } from "../bytes/address.js";
import { writeTextFile } from "../bytes/atomic-write.js";
import { createFolder } from "../bytes/disk.js";
import { checkOutputs } from "../bytes/overwriting.js";
import { openModel } from "../model/open.js";
import type { ModelSource } from "../model/source.js";
import { quantizableNames } from "../recipe/quantizable.js";
import { version } from "../version.js";
import { explorableModel } from "./explorable-model.js";
import { type ExploreOptions, exploreCommand } from "./explore-command.js";
import { renderExplorer } from "./page-file.js";
import { type PageServer, servePage } from "./page-server.js";

export interface ExploreResult {
  /** Path of the page, if it was written. */
  readonly output?: string;
  /** Size of the page. */
  readonly bytes: number;
  /** What shows it otherwise. */
  readonly server?: PageServer;
}

/**
 * Reads the model's header. Throws what opening throws, and an EnvironmentError if the page cannot be written or the
 * port is taken.
 */
export async function explore(given: ExploreOptions): Promise<ExploreResult> {
  const options = exploreCommand.read(given);
  const { model, output, sensitivity: path } = options;
  const page = output === undefined ? undefined : join(output, "index.html");
  await checkOutputs([page], [model, path]);
  const source = await openModel(model, { signal: options.signal });
  let html: string;
  try {
    html = await explorerPage(source, path === undefined ? undefined : await sensitivityOf(source, path));
  } finally {
    await source.close();
  }
  const bytes = Buffer.byteLength(html);
  if (output === undefined || page === undefined) {
    return { bytes, server: await servePage(html, options.port) };
  }
  await createFolder(output);
  await writeTextFile(page, html);
  return { output: page, bytes };
}

/** The page for an open model, as HTML. */
async function explorerPage(source: ModelSource, sensitivity?: Sensitivity): Promise<string> {
  const { name, metadata, tensors, byteLength, files } = source;
  const opened = { name: shownName(name), metadata, tensors, byteLength, files: files.length };
  return await renderExplorer(explorableModel(opened, version), { sensitivity });
}

async function sensitivityOf(source: ModelSource, path: string): Promise<Sensitivity> {
  const fingerprint = await modelFingerprint(source);
  const { alphas } = await openSensitivity(path, { fingerprint, names: quantizableNames(source.tensors) });
  return { name: shownName(path), alphas };
}
