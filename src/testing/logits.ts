/** What llama.cpp makes of a model file: the proof that an output loads and computes. Only tests use it. */
import { loadLibrary } from "../engine/library.js";
import { Model } from "../engine/model.js";

/** Loads a model in this process and returns the logits of the token after `tokens`. */
export function nextTokenLogits(path: string, tokens: ArrayLike<number>): Float32Array {
  const model = Model.load(loadLibrary(), { path });
  try {
    const context = model.createContext({ contextLength: tokens.length, threads: 1 });
    context.decode([{ sequence: 0, position: 0, tokens }]);
    return context.logits().slice();
  } finally {
    model.close();
  }
}
