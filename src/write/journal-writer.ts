/**
 * Makes finished slices last. A slice may only be in the journal when its bytes are on the disk, and asking the
 * disk for that takes milliseconds; so slices are recorded in groups, while the next ones are being encoded.
 */
import type { OutputFile } from "../bytes/output.js";
import type { Journal, SliceRecord } from "./journal.js";

/** A group is begun this long after the one before, or when the disk is done with that. */
const groupMs = 200;

/** With this many slices waiting, the disk is too slow for the encoders, and they wait: it bounds what is lost. */
const mostWaiting = 64;

export class SliceRecorder {
  #waiting: SliceRecord[] = [];
  #touched = new Set<OutputFile>();
  #underWay: Promise<void> | undefined;
  #lastBegun = performance.now();
  #failure: unknown;

  readonly #journal: Journal;

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  /** Takes the next slice, whose bytes were written to `file`. Throws if an earlier one could not be recorded. */
  async add(file: OutputFile, record: SliceRecord): Promise<void> {
    this.#waiting.push(record);
    this.#touched.add(file);
    const isLarge = this.#waiting.length >= mostWaiting;
    if (isLarge) {
      await this.#underWay;
    }
    if (!this.#underWay && (isLarge || performance.now() - this.#lastBegun >= groupMs)) {
      this.#begin();
    }
    if (this.#failure) {
      throw this.#failure;
    }
  }

  /** Returns when everything taken so far is recorded. */
  async flush(): Promise<void> {
    await this.#underWay;
    if (this.#waiting.length > 0 && !this.#failure) {
      this.#begin();
    }
    await this.#underWay;
    if (this.#failure) {
      throw this.#failure;
    }
  }

  #begin(): void {
    const records = this.#waiting;
    const files = [...this.#touched];
    this.#waiting = [];
    this.#touched = new Set();
    this.#lastBegun = performance.now();
    this.#underWay = this.#record(files, records)
      .catch((error) => {
        this.#failure = error;
      })
      .finally(() => {
        this.#underWay = undefined;
      });
  }

  async #record(files: readonly OutputFile[], records: readonly SliceRecord[]): Promise<void> {
    await Promise.all(files.map((file) => file.sync()));
    await this.#journal.append(records);
  }
}
