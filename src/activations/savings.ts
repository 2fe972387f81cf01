/** When the state of a long run is saved: as often as that takes no more than a part of the time. */
export class Savings {
  readonly #share: number;
  #nextAt = 0;

  constructor(share: number) {
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
