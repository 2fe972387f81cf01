/**
 * What a text says, in few bytes: by its sketch another text is told to be the same, or to have parts of it, whatever
 * the files are called. Every window of some tokens is hashed, and the smallest hashes are kept (A. Broder, "On the
 * resemblance and containment of documents", 1997): a sample that is chosen by content, so that two texts with the
 * same windows keep the same of them.
 */
import type { TextChunks } from "./chunks.js";

/** The smallest hashes of a text's windows, in order; all of them if they are fewer than `mostHashes`. */
export type TextSketch = Uint32Array;

/** Kept at most: 32 KB. Of a text of a million tokens that is one window in 120. */
export const mostHashes = 8192;

/** From this share on a text is no test of the model. */
export const mostCalibratedOn = 0.2;

/** Tokens in a window: more than templates, greetings and licences have between words that differ. */
const windowTokens = 32;

/** Below so many windows that the sketch could hold, nothing can be said of a text. */
const fewestSamples = 8;

/** The sketch of a text. */
export function sketchOf(tokens: Int32Array): TextSketch {
  return smallest(windowHashes(tokens));
}

/** The sketch of several texts together. */
export function mergeSketches(sketches: readonly TextSketch[]): TextSketch {
  return smallest(Uint32Array.from(sketches.flatMap((sketch) => [...sketch])));
}

/**
 * The share of what is scored in chunks [first, end) that stands in a sketched text: of the different windows that end
 * with a token whose prediction is scored. Undefined for texts too short to tell.
 */
export function shareInSketch(
  sketch: TextSketch,
  { tokens, context }: TextChunks,
  scored: Uint8Array,
  { first, end }: { readonly first: number; readonly end: number },
): number | undefined {
  const known = new Set(sketch);
  const largest = sketch.length < mostHashes ? 0xffffffff : (sketch.at(-1) ?? 0);
  const sampled = new Set<number>();
  for (let chunk = first; chunk < end; chunk++) {
    const from = chunk * context;
    const hashes = windowHashes(tokens.subarray(from, from + context));
    for (const [at, hash] of hashes.entries()) {
      if (hash <= largest && scored[from + at + windowTokens - 2] === 1) {
        sampled.add(hash);
      }
    }
  }
  if (sketch.length === 0 || sampled.size < fewestSamples) {
    return undefined;
  }
  return [...sampled].filter((hash) => known.has(hash)).length / sampled.size;
}

/** Hashes of all windows in the order of their places: a polynomial that rolls along, then mixed. */
function windowHashes(tokens: Int32Array): Uint32Array {
  const factor = 0x01000193;
  let leaving = 1;
  for (let i = 1; i < windowTokens; i++) {
    leaving = Math.imul(leaving, factor);
  }
  const hashes = new Uint32Array(Math.max(0, tokens.length - windowTokens + 1));
  let rolling = 0;
  for (const [at, token] of tokens.entries()) {
    if (at >= windowTokens) {
      rolling = (rolling - Math.imul(mixed(tokens[at - windowTokens] ?? 0), leaving)) | 0;
    }
    rolling = (Math.imul(rolling, factor) + mixed(token)) | 0;
    if (at >= windowTokens - 1) {
      hashes[at - windowTokens + 1] = mixed(rolling);
    }
  }
  return hashes;
}

/** A bijection of 32 bits in which every bit of the result depends on every bit given (MurmurHash3's last step). */
function mixed(value: number): number {
  let bits = value ^ (value >>> 16);
  bits = Math.imul(bits, 0x85ebca6b);
  bits ^= bits >>> 13;
  bits = Math.imul(bits, 0xc2b2ae35);
  return bits ^ (bits >>> 16);
}

function smallest(hashes: Uint32Array): TextSketch {
  const sorted = hashes.sort();
  return sorted.filter((hash, at) => at === 0 || hash !== sorted[at - 1]).slice(0, mostHashes);
}
