/**
 * Moments of few tokens, mixed with those of all tokens of the layer: few tokens know the sizes of channels, but not how
 * they go together. What enters down is not mixed: its channels are neurons of one expert, of which other experts'
 * tokens say nothing. (On the tiny model neither what the expert makes of all tokens nor the diagonal alone was better
 * than none: docs/how-to/lose-less.md.)
 */
import { packedRow } from "./packed.js";

/** Tokens per column below which an expert's moments are mixed. */
export const fewTokensPerColumn = 8;

/** Sums over all tokens of a layer, or over some that stand for them. */
export interface PooledMoments {
  readonly sums: Float32Array;
  readonly vectors: number;
}

/** Adds sums to others of the same size. */
export function addSums(total: Float32Array, part: Float32Array): void {
  for (let i = 0; i < total.length; i++) {
    total[i]! += part[i]!;
  }
}

/**
 * Adds as many tokens' worth as there are columns of the moments of all tokens, scaled to the expert's own mean squares.
 * An expert that no token was sent to gets those of all as they are.
 * @param own sums of an expert's few tokens, which are changed
 * @param isPacked whether both matrices are packed (`packed.ts`), or upper triangles of whole ones
 */
export function mixWithPool(
  own: Float32Array,
  vectors: number,
  pool: PooledMoments,
  { columns: n, isPacked }: { readonly columns: number; readonly isPacked: boolean },
): void {
  if (vectors === 0) {
    own.set(pool.sums);
    return;
  }
  const row = (i: number) => (isPacked ? packedRow(n, i) - i : i * n);
  const ratio = Float64Array.from({ length: n }, (_, i) => {
    const [mine, all] = [own[row(i) + i]! / vectors, pool.sums[row(i) + i]! / pool.vectors];
    return all > 0 ? Math.sqrt(mine / all) : 0;
  });
  const share = n / pool.vectors;
  for (let i = 0; i < n; i++) {
    const at = row(i);
    const factor = share * ratio[i]!;
    for (let j = i; j < n; j++) {
      own[at + j]! += factor * ratio[j]! * pool.sums[at + j]!;
    }
  }
}
