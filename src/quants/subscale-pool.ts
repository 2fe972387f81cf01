/**
 * What searches found for the blocks of a superblock, of the formats whose blocks have an odd sub-scale 2 s + 1: for
 * fixed points of the grid, a block's cost is a parabola in its scale, q2 scale^2 - 2 qx scale (and a constant). So the
 * total cost of any superblock scale is known at once, and so is the best entry of each block with it.
 */
export class SubscalePool {
  readonly #blocks: number;
  readonly #groups: number;
  readonly #capacity: number;
  readonly #most: number;
  readonly #sizes: Uint8Array;
  readonly #points: Uint16Array;
  readonly #qx: Float64Array;
  readonly #q2: Float64Array;

  /**
   * @param groups points of a block
   * @param capacity entries of a block: no fewer than the searches of all rounds
   * @param most largest sub-scale
   */
  constructor(blocks: number, groups: number, capacity: number, most: number) {
    this.#blocks = blocks;
    this.#groups = groups;
    this.#capacity = capacity;
    this.#most = most;
    this.#sizes = new Uint8Array(blocks);
    this.#points = new Uint16Array(blocks * capacity * groups);
    this.#qx = new Float64Array(blocks * capacity);
    this.#q2 = new Float64Array(blocks * capacity);
  }

  clear(): void {
    this.#sizes.fill(0);
  }

  /** Points of the entry that a block gets next; they count once it is added. */
  nextPoints(block: number): Uint16Array {
    return this.points(block * this.#capacity + this.#sizes[block]!);
  }

  /** Adds the entry whose points were written. */
  add(block: number, qx: number, q2: number): void {
    const entry = block * this.#capacity + this.#sizes[block]!;
    this.#qx[entry] = qx;
    this.#q2[entry] = q2;
    this.#sizes[block]!++;
  }

  points(entry: number): Uint16Array {
    return this.#points.subarray(entry * this.#groups, (entry + 1) * this.#groups);
  }

  /** The best scale of an entry. */
  ratio(entry: number): number {
    return this.#qx[entry]! / this.#q2[entry]!;
  }

  /** Sub-scale s whose 2 s + 1 is nearest to what an entry would have best. */
  subscale(entry: number, scale: number): number {
    return Math.min(this.#most, Math.max(0, Math.floor(this.ratio(entry) / scale / 2)));
  }

  /** The entry of a block that costs least with a superblock scale. */
  bestEntry(block: number, scale: number): number {
    const first = block * this.#capacity;
    let best = first;
    let least = Infinity;
    for (let entry = first; entry < first + this.#sizes[block]!; entry++) {
      const cost = this.#cost(entry, scale);
      if (cost < least) {
        least = cost;
        best = entry;
      }
    }
    return best;
  }

  /** Least cost of a block with a superblock scale; Infinity if it has no entry. */
  leastCost(block: number, scale: number): number {
    return this.#sizes[block]! > 0 ? this.#cost(this.bestEntry(block, scale), scale) : Infinity;
  }

  /** The best superblock scale: the best of some around the given one, 2 % apart, then least squares. */
  bestScale(start: number, scales: number): number {
    let scale = start;
    let least = Infinity;
    for (let k = 0; k < scales; k++) {
      const candidate = start * (1 + 0.02 * (k - (scales - 1) / 2));
      let cost = 0;
      for (let block = 0; block < this.#blocks; block++) {
        cost += this.#cost(this.bestEntry(block, candidate), candidate);
      }
      if (cost < least) {
        least = cost;
        scale = candidate;
      }
    }
    let qx = 0;
    let q2 = 0;
    for (let block = 0; block < this.#blocks; block++) {
      const entry = this.bestEntry(block, scale);
      const factor = 2 * this.subscale(entry, scale) + 1;
      qx += factor * this.#qx[entry]!;
      q2 += factor * factor * this.#q2[entry]!;
    }
    return qx > 0 ? qx / q2 : scale;
  }

  #cost(entry: number, scale: number): number {
    const blockScale = scale * (2 * this.subscale(entry, scale) + 1);
    return blockScale * (blockScale * this.#q2[entry]! - 2 * this.#qx[entry]!);
  }
}
