/** `explore`: the page for a model, served on this computer or written for a web host. */
import { join } from "node:path";
import { readCurves } from "../budget/curves-file.js";
import { withImportance } from "../budget/model-curves.js";
import { modelFingerprints } from "../budget/model-fingerprint.js";
import { fittedTo, type Sensitivity } from "../budget/sensitivity/defaults.js";
import type { MeasuredModel } from "../budget/sensitivity/file.js";
import { openSensitivity } from "../budget/sensitivity/open.js";
import type { ErrorCurve } from "../budget/typical-curves.js";
import { shownName } from "../bytes/address.js";
import { writeTextFile } from "../bytes/atomic-write.js";
import { createFolder } from "../bytes/disk.js";
import { checkOutputs } from "../bytes/overwriting.js";
import { FileSource } from "../bytes/source.js";
import { loadImportance } from "../imatrix/load-importance.js";
import { openModel } from "../model/open.js";
import type { ModelSource } from "../model/source.js";
import { quantizableNames } from "../recipe/quantizable.js";
import { version } from "../version.js";
import { explorableModel } from "./explorable-model.js";
import { type ExploreOptions, exploreCommand } from "./explore-command.js";
import type { Knowledge, MadeModel } from "./explorer.js";
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
 * Reads the model's header. Throws what opening throws, a UsageError for files that were measured on another model,
 * and an EnvironmentError if the page cannot be written or the port is taken.
 */
export async function explore(given: ExploreOptions): Promise<ExploreResult> {
  const options = exploreCommand.read(given);
  const { model, output, sensitivity, curves, imatrix } = options;
  const page = output === undefined ? undefined : join(output, "index.html");
  await checkOutputs([page], [model, sensitivity, curves, imatrix]);
  const source = await openModel(model, { signal: options.signal });
  let html: string;
  try {
    html = await explorerPage(source, options);
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

/** Files of what was measured on a model, and what was made of it. */
export interface PageFiles {
  readonly sensitivity?: string | undefined;
  readonly curves?: string | undefined;
  readonly imatrix?: string | undefined;
  readonly made?: MadeModel | undefined;
}

/** The page for an open model, as HTML. */
export async function explorerPage(source: ModelSource, files: PageFiles): Promise<string> {
  const { name, metadata, tensors, byteLength } = source;
  const opened = { name: shownName(name), metadata, tensors, byteLength, files: source.files.length };
  const imatrix = await loadImportance({ imatrix: files.imatrix }, tensors);
  const known = imatrix && tensors.map((tensor) => tensor.name).filter(withImportance(source, imatrix, {}));
  const model = explorableModel(opened, version, imatrix && { imatrix, tensors: known ?? [] });
  return await renderExplorer(model, { ...(await measuredOf(source, files)), made: files.made });
}

async function measuredOf(source: ModelSource, { sensitivity, curves }: PageFiles): Promise<Knowledge> {
  if (sensitivity === undefined && curves === undefined) {
    return {};
  }
  const measured = {
    fingerprints: await modelFingerprints(source),
    names: quantizableNames(source.tensors),
  };
  const errors = curves === undefined ? undefined : await curvesIn(curves, measured);
  const costs = sensitivity === undefined ? undefined : await sensitivityIn(sensitivity, measured);
  return { sensitivity: costs && errors ? fittedTo(costs, errors) : costs, curves: errors };
}

async function sensitivityIn(path: string, model: MeasuredModel): Promise<Sensitivity> {
  return { ...(await openSensitivity(path, model)), name: shownName(path) };
}

async function curvesIn(path: string, model: MeasuredModel): Promise<ReadonlyMap<string, ErrorCurve>> {
  const file = await FileSource.open(path);
  try {
    return await readCurves(file, model);
  } finally {
    await file.close();
  }
}
