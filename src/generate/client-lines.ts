/**
 * Who is next. Each client has a line of its own, so that one with many requests does not keep the others waiting:
 * who has the least goes first, and among equals the lines take turns.
 */

export class ClientLines<Entry> {
  /** In the order of their turns; a client without waiting entries has no line. */
  readonly #lines = new Map<string, Entry[]>();

  /** Entries in all lines. */
  get size(): number {
    return [...this.#lines.values()].reduce((sum, line) => sum + line.length, 0);
  }

  /** Clients that have a line. */
  get clients(): readonly string[] {
    return [...this.#lines.keys()];
  }

  /** Adds an entry to the end of its client's line. */
  add(client: string, entry: Entry): void {
    this.#set(client, [...(this.#lines.get(client) ?? []), entry]);
  }

  /** Puts an entry back to the front of its client's line. */
  putBack(client: string, entry: Entry): void {
    this.#set(client, [entry, ...(this.#lines.get(client) ?? [])]);
  }

  /**
   * The client who is next, if one waits.
   * @param held what a client has already
   */
  next(held: (client: string) => number): string | undefined {
    let least = Number.POSITIVE_INFINITY;
    let next: string | undefined;
    for (const client of this.#lines.keys()) {
      const count = held(client);
      if (count < least) {
        least = count;
        next = client;
      }
    }
    return next;
  }

  /** Takes the first entry of a client's line, whose turn is then after all others'. */
  take(client: string): Entry | undefined {
    const [entry, ...rest] = this.#lines.get(client) ?? [];
    this.#lines.delete(client);
    this.#set(client, rest);
    return entry;
  }

  /** Takes out all entries for which `isWanted`. */
  remove(isWanted: (entry: Entry) => boolean): Entry[] {
    const removed: Entry[] = [];
    for (const [client, line] of [...this.#lines]) {
      removed.push(...line.filter(isWanted));
      this.#set(
        client,
        line.filter((entry) => !isWanted(entry)),
      );
    }
    return removed;
  }

  #set(client: string, line: Entry[]): void {
    if (line.length > 0) {
      this.#lines.set(client, line);
    } else {
      this.#lines.delete(client);
    }
  }
}
