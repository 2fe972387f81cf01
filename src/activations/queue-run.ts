/** What runs over the groups of a queue have in common: the groups of their text, and what their tasks say. */
import { randomUUID } from "node:crypto";
import type { Engine } from "../engine/engine.js";
import { describeEngine } from "../engine/engine-signature.js";
import type { TokenGroup } from "../queue/group-performer.js";
import { chunkGroups, chunksPerGroup } from "../text/chunk-groups.js";
import type { TextChunks } from "../text/chunks.js";

/** A text in chunks that are decoded so many together. */
interface GroupedText {
  readonly text: TextChunks & { readonly scored?: Uint8Array };
  readonly sequences: number;
}

/** The groups of a text, in order, from the one that begins at chunk `from`. */
export function tokenGroups({ text, sequences }: GroupedText, from: number): TokenGroup[] {
  const { context, chunks, tokens, scored } = text;
  return chunkGroups(chunks, chunksPerGroup(sequences), from).map(({ first, end }) => ({
    first,
    chunks: end - first,
    tokens: tokens.slice(first * context, end * context),
    ...(scored && { scored: scored.slice(first * context, end * context) }),
  }));
}

/** What decides the results of any task but its models. */
export async function describeTaskRun(
  { text, sequences }: GroupedText,
  {
    engine,
    gpuLayers,
    signal,
  }: { engine: Engine; gpuLayers: number | undefined; signal?: AbortSignal | undefined },
) {
  return {
    run: randomUUID(),
    engine: await engine.run(describeEngine, {}, { signal }),
    context: text.context,
    sequences,
    ...(gpuLayers !== undefined && { gpuLayers }),
  };
}
