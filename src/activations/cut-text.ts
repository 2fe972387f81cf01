/** A calibration text in chunks of tokens, for those who run them elsewhere: only the vocabulary is loaded. */
import { defineJob } from "../engine/job.js";
import type { TextChunks } from "../text/chunks.js";
import { openText, type RunTextParams, runTextFiles, type TextHost } from "./run-text.js";
import type { SweptModel } from "./sweep.js";

export interface CutText {
  readonly text: TextChunks;
  /** Chunks to decode together. */
  readonly sequences: number;
}

/** Cuts a text as a run over it would. Errors: see `cutIntoChunks`. */
export const cutText = defineJob(
  import.meta.url,
  "cutText",
  runTextFiles,
  async (params: RunTextParams, host: TextHost): Promise<CutText> => {
    const { sweep, text, sequences } = await openText(
      { ...params, model: vocabularyAlone(params.model) },
      host,
    );
    sweep.close();
    return { text, sequences };
  },
);

/** A model that is run in windows has its vocabulary loaded alone anyway. */
export function vocabularyAlone(model: SweptModel): SweptModel {
  return model.windows ? model : { ...model, whole: { path: model.whole.path, vocabularyOnly: true } };
}
