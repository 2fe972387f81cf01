/**
 * Reads bodies of requests, and counts the bytes that are held: what a body becomes (text, values, prompt) takes
 * several times its size, so the server reads only as much at a time as it has memory for.
 */
import { CancelledError } from "../errors.js";
import { ApiError } from "./errors.js";

/** Bytes of a body at most: some hundred thousand tokens of text. */
export const mostBodyBytes = 8 * 2 ** 20;

/** Bytes of each body that are not counted, so that short requests are read whatever others send. */
const freeBytes = 2 ** 16;

/** Bytes held at most, for all clients and for one. */
const mostHeldBytes = 4 * mostBodyBytes;
const mostClientBytes = 2 * mostBodyBytes;

export class Bodies {
  readonly #held = new Map<string, number>();
  #total = 0;

  /** Bytes counted now. */
  get heldBytes(): number {
    return this.#total;
  }

  /**
   * Reads a body. Its bytes count until `release` is called.
   * Throws an ApiError if it is too large, or the server holds too much already.
   */
  async read(request: Request, client: string): Promise<{ text: string; release: () => void }> {
    const declared = Number(request.headers.get("content-length") ?? 0);
    checkSize(declared);
    this.#checkRoom(client, declared);
    let bytes = 0;
    let counted = 0;
    const release = () => {
      this.#count(client, -counted);
      counted = 0;
    };
    try {
      const decoder = new TextDecoder();
      let text = "";
      for await (const chunk of (request.body ?? []) as AsyncIterable<Uint8Array>) {
        bytes += chunk.length;
        checkSize(bytes);
        const more = Math.max(0, bytes - freeBytes) - counted;
        this.#checkRoom(client, more + freeBytes);
        this.#count(client, more);
        counted += more;
        text += decoder.decode(chunk, { stream: true });
      }
      return { text: text + decoder.decode(), release };
    } catch (error) {
      release();
      if (error instanceof ApiError) {
        throw error;
      }
      throw new CancelledError("the client went away before its request was read.", {}, { cause: error });
    }
  }

  #checkRoom(client: string, bytes: number): void {
    const more = bytes - freeBytes;
    const isFull =
      this.#total + more > mostHeldBytes || (this.#held.get(client) ?? 0) + more > mostClientBytes;
    if (more > 0 && isFull) {
      throw new ApiError(503, "the server is reading as much as it has memory for; try again later.", {
        code: "server_busy",
        retryAfter: 2,
      });
    }
  }

  #count(client: string, bytes: number): void {
    const held = (this.#held.get(client) ?? 0) + bytes;
    this.#total += bytes;
    if (held > 0) {
      this.#held.set(client, held);
    } else {
      this.#held.delete(client);
    }
  }
}

function checkSize(bytes: number): void {
  if (bytes > mostBodyBytes) {
    throw new ApiError(413, `the body is larger than the ${mostBodyBytes} bytes that are allowed.`, {
      code: "body_too_large",
    });
  }
}
