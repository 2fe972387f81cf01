/** The stage `imatrix`: calibration, and the second moments if they are to be used. */
import { sha256OfFile } from "../bytes/sha256.js";
import { mirroredVersion } from "../engine/native.js";
import { imatrix as computeImatrix, type ImatrixResult } from "../imatrix/compute.js";
import { readImatrixFile, writeImatrixFile } from "../imatrix/file.js";
import { engineOptions, type MakeRun } from "./run.js";
import type { PreparedSource, SourceFacts } from "./source.js";

export interface Calibration {
  readonly result: ImatrixResult;
  readonly imatrix: string;
  readonly imatrixSha256: string;
  readonly textSha256: string;
  /** Only with effort `max`. */
  readonly moments: string | undefined;
  readonly momentsSha256: string | undefined;
}

/** Computes `imatrix.gguf`, and the same as `imatrix.dat`. Errors: see `imatrix`. */
export async function calibrate(
  run: MakeRun,
  facts: SourceFacts,
  source: PreparedSource,
): Promise<Calibration> {
  const { options, folder, stages } = run;
  const { ctxCalibration: ctx, chunks } = options;
  const { name, path: text, parseSpecial } = run.texts.calibration;
  const imatrix = folder.file("imatrix.gguf");
  const dat = folder.file("imatrix.dat");
  const moments = options.effort === "max" ? folder.workFile("moments") : undefined;
  const { priorWeight } = options;
  const textSha256 = await sha256OfFile(text, options.signal);
  const done = await stages.run({
    name: "imatrix",
    inputs: {
      source: facts.identity,
      "calibration text": textSha256,
      "calibration chunks": [ctx, chunks, parseSpecial],
      moments: moments !== undefined,
      "prior weight": priorWeight,
      "llama.cpp": mirroredVersion,
    },
    run: async (stage) => {
      const result = await computeImatrix({
        ...engineOptions(run, stage),
        model: source.runnable,
        text,
        dataset: name,
        output: imatrix,
        ctx,
        chunks,
        parseSpecial,
        priorWeight,
        moments,
      });
      await writeImatrixFile(dat, await readImatrixFile(imatrix), "dat");
      return result;
    },
    files: () => [imatrix, dat, ...(moments === undefined ? [] : [moments])].map((path) => ({ path })),
  });
  const [imatrixSha256 = "", , momentsSha256] = done.sha256;
  return { result: done.result, imatrix, imatrixSha256, textSha256, moments, momentsSha256 };
}
