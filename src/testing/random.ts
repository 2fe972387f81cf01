/** Deterministic random numbers for tests and benchmarks: the same seed gives the same rows everywhere. */

/** Uniform numbers in [0, 1) (mulberry32). */
export function uniform(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Standard normal numbers (Box-Muller). */
export function gaussian(seed: number): () => number {
  const next = uniform(seed);
  return () => Math.sqrt(-2 * Math.log(next() || 1e-12)) * Math.cos(2 * Math.PI * next());
}

/** Laplacian numbers with unit variance. */
export function laplacian(seed: number): () => number {
  const next = uniform(seed);
  return () => {
    const u = next() - 0.5;
    return (-Math.sign(u) * Math.log(1 - 2 * Math.abs(u) || 1e-12)) / Math.SQRT2;
  };
}

/** `count` numbers from a generator. */
export function fill(count: number, next: () => number): Float32Array {
  // Several times as fast as Float32Array.from.
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    values[i] = next();
  }
  return values;
}
