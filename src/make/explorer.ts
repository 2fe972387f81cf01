/** The stages `error curves` and `explorer`: every other size that the model could have, as a page. */
import { rm } from "node:fs/promises";
import { measureModelCurves } from "../budget/model-curves.js";
import { writeTextFile } from "../bytes/atomic-write.js";
import type { MadeModel } from "../explore/explorer.js";
import { openModel } from "../model/open.js";
import { explorerFileName } from "../report/evaluation.js";
import type { Calibration } from "./calibrate.js";
import type { Encoded } from "./encoded.js";
import type { Evaluated } from "./evaluate.js";
import { encoderOptions, type MakeRun } from "./run.js";
import type { PreparedSource, SourceFacts } from "./source.js";
import type { StageDone } from "./stages.js";
import type { ChosenTypes } from "./types.js";

/** What the page is made of. */
export interface ExplorerFindings {
  readonly facts: SourceFacts;
  readonly source: PreparedSource;
  readonly calibration: Calibration;
  readonly types: ChosenTypes;
  readonly encoded: Encoded;
  readonly evaluated: Evaluated | undefined;
}

/**
 * Writes explorer.html, unless the user does without. Errors are those of what its commands do: quantize with its
 * defaults.
 */
export async function exploreSource(
  run: MakeRun,
  findings: ExplorerFindings,
): Promise<{ readonly output: string } | undefined> {
  const { options, folder, stages } = run;
  const output = folder.file(explorerFileName);
  if (options.explorer === false) {
    // One of an earlier run would be of another model.
    if (folder.state.finished("explorer") !== undefined) {
      await folder.state.forget("explorer");
      await rm(output, { force: true });
    }
    return undefined;
  }
  const { facts, calibration, types, encoded, evaluated } = findings;
  const curves = folder.workFile("error-curves.json");
  const measured = await measureCurves(run, findings, curves);
  const made: MadeModel = {
    name: encoded.name,
    bytes: encoded.result.bytes,
    types: new Map(encoded.result.tensors.map(({ name, to }) => [name, to])),
    // The page is of the model with all experts: what one with fewer loses would be taken for what types cost.
    measured: encoded.result.experts?.count ? undefined : evaluated?.model.evaluation.kld?.mean,
  };
  await stages.run({
    name: "explorer",
    inputs: {
      source: facts.identity,
      "importance matrix": calibration.imatrixSha256,
      "error curves": measured.sha256,
      sensitivity: types.sensitivitySha256,
      model: encoded.sha256,
      divergence: made.measured,
    },
    run: async () => {
      // Charts and solver take a while to load, which commands that make no page need not wait for.
      const { explorerPage } = await import("../explore/explore.js");
      const model = await openModel(options.model, { signal: options.signal });
      try {
        const { imatrix } = calibration;
        const files = { curves, imatrix, sensitivity: types.sensitivity?.output, made };
        await writeTextFile(output, await explorerPage(model, files));
      } finally {
        await model.close();
      }
    },
    files: () => [{ path: output }],
  });
  return { output };
}

async function measureCurves(
  run: MakeRun,
  { facts, source, calibration }: ExplorerFindings,
  output: string,
): Promise<StageDone<void>> {
  return await run.stages.run({
    name: "error curves",
    inputs: { source: facts.identity, "importance matrix": calibration.imatrixSha256 },
    run: async (stage) =>
      await measureModelCurves({
        ...encoderOptions(run, stage),
        model: source.quantizeFrom,
        imatrix: calibration.imatrix,
        effort: "default",
        errors: run.folder.workFile("errors.jsonl"),
        output,
      }),
    files: () => [{ path: output }],
  });
}
