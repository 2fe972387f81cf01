/** An output matrix beside a config.json that says the embedding is used in its place. */
import { rowCount, type SourceTensor } from "../source.js";
import type { Fields } from "./fields.js";

/** Rows compared: of matrices that were trained apart, all differ. */
const comparedRows = 16;

/**
 * What to tell the user if config.json ties the output to the embedding and the files have another output matrix.
 * Transformers 5 then runs the model with both, as llama.cpp does with the converted file; transformers 4 ran it with
 * the embedding alone.
 */
export async function tiedOutputNote(
  config: Fields,
  tensors: readonly SourceTensor[],
): Promise<string | undefined> {
  const find = (name: string) => tensors.find((tensor) => tensor.name === name);
  const [embedding, output] = [find("token_embd.weight"), find("output.weight")];
  if (config.flag("tie_word_embeddings") !== true || embedding === undefined || output === undefined) {
    return undefined;
  }
  if (embedding.type === output.type && (await hasSameRows(embedding, output))) {
    return undefined;
  }
  return 'config.json says "tie_word_embeddings", but lm_head.weight has weights of its own; they are kept, as in transformers 5.';
}

async function hasSameRows(a: SourceTensor, b: SourceTensor): Promise<boolean> {
  const rows = rowCount(a.shape);
  for (let part = 0; part < comparedRows; part++) {
    const row = Math.floor((part * (rows - 1)) / (comparedRows - 1));
    const [one, other] = await Promise.all([a.readRows(row, 1), b.readRows(row, 1)]);
    if (Buffer.compare(one, other) !== 0) {
      return false;
    }
  }
  return true;
}
