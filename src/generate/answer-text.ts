/**
 * The text of an answer as it grows: characters that several tokens share are put together, stop strings are found
 * wherever tokens end, and what may be the beginning of one is held back.
 */
export class AnswerText {
  readonly #stops: readonly string[];
  // Bytes that are no UTF-8 become U+FFFD; a byte order mark is text like any other.
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #held = "";
  #decodedLength = 0;
  #givenLength = 0;

  /** @param stops strings that end the answer; they are not part of it */
  constructor(stops: readonly string[] = []) {
    this.#stops = stops.filter((stop) => stop !== "");
  }

  /** Characters that were added, given out or not. */
  get decodedLength(): number {
    return this.#decodedLength;
  }

  /** Characters that were given out. */
  get givenLength(): number {
    return this.#givenLength;
  }

  /** Adds a token's bytes; gives the text that is certain now, and whether a stop string ended it. */
  add(bytes: Uint8Array): { text: string; isStopped: boolean } {
    return this.#append(this.#decoder.decode(bytes, { stream: true }));
  }

  /** The rest, when no token follows. */
  end(): { text: string; isStopped: boolean } {
    const { text, isStopped } = this.#append(this.#decoder.decode());
    if (isStopped) {
      return { text, isStopped };
    }
    const rest = this.#held;
    this.#held = "";
    this.#givenLength += rest.length;
    return { text: text + rest, isStopped };
  }

  #append(more: string): { text: string; isStopped: boolean } {
    this.#decodedLength += more.length;
    const text = this.#held + more;
    const stop = this.#findStop(text);
    const certain = stop ?? text.length - this.#beginningOfStop(text);
    this.#held = stop === undefined ? text.slice(certain) : "";
    this.#givenLength += certain;
    return { text: text.slice(0, certain), isStopped: stop !== undefined };
  }

  #findStop(text: string): number | undefined {
    const found = this.#stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
    return found.length === 0 ? undefined : Math.min(...found);
  }

  /** Length of the longest end of the text with which a stop string could begin. */
  #beginningOfStop(text: string): number {
    let longest = 0;
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
        if (text.endsWith(stop.slice(0, length))) {
          longest = length;
        }
      }
    }
    return longest;
  }
}
