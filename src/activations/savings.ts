/** When the state of a long run is saved: as often as that takes no more than a part of the time. */

/** They may take this part of it, where nothing else is wanted: the state of a large model takes long to write. */
const usualShare = 0.05;

export class Savings {
  readonly #share: number;
  #nextAt = 0;

  constructor(share = usualShare) {
    this.#share = share;
  }

  mayBegin(): boolean {
    return performance.now() >= this.#nextAt;
  }

  async time(save: () => Promise<void>): Promise<void> {
    const begin = performance.now();
    await save();
    const end = performance.now();
    this.#nextAt = end + (end - begin) * (1 / this.#share - 1);
  }
}
