/**
 * llama.cpp's grammar sampler (src/llama-grammar.cpp): follows a text token by token and says which tokens a grammar
 * in GBNF lets follow. It aborts the process on a token that the grammar does not allow, so only `accept` those.
 */
import { InternalError, UsageError } from "../errors.js";
import type { NativeLibrary } from "./library.js";
import type { NativeBlock } from "./memory.js";
import { type Address, tokenDataLayout } from "./native.js";

const { byteLength: tokenBytes, arrayByteLength, array } = tokenDataLayout;
/** Values per token in views of 4 bytes. */
const stride = tokenBytes / 4;

/** Room for all tokens with their logits, as samplers want them; shared by the grammars of a model. */
export class TokenTable {
  readonly size: number;
  readonly #block: NativeBlock;
  readonly #header: DataView;
  readonly #ids: Int32Array;
  readonly #logits: Float32Array;

  constructor(library: NativeLibrary, size: number) {
    this.size = size;
    this.#block = library.memory.allocate(arrayByteLength + tokenBytes * size);
    const { buffer, address } = this.#block;
    this.#header = new DataView(buffer);
    this.#header.setBigUint64(array.tokens, BigInt(address + arrayByteLength), true);
    this.#header.setBigInt64(array.chosen, -1n, true);
    this.#ids = new Int32Array(buffer, arrayByteLength);
    this.#logits = new Float32Array(buffer, arrayByteLength);
  }

  get address(): Address {
    return this.#block.address;
  }

  /** Makes a table of one token. */
  setOne(token: number): void {
    this.#header.setBigUint64(array.count, 1n, true);
    this.#ids[0] = token;
    this.#logits[1] = 0;
  }

  /** Makes a table of these tokens, at most `size`. */
  set(tokens: Int32Array): void {
    this.#header.setBigUint64(array.count, BigInt(tokens.length), true);
    for (const [index, token] of tokens.entries()) {
      this.#ids[stride * index] = token;
      this.#logits[stride * index + 1] = 0;
    }
  }

  /** Whether a sampler ruled out what stands at `index`. */
  isRuledOut(index: number): boolean {
    return this.#logits[stride * index + 1] === Number.NEGATIVE_INFINITY;
  }

  free(): void {
    this.#block.free();
  }
}

/** How far a text has come in a grammar. Release it with `close`. */
export class Grammar {
  readonly #library: NativeLibrary;
  readonly #table: TokenTable;
  #address: Address;

  /**
   * Use `Model.createGrammar`.
   * Throws a UsageError if llama.cpp does not take the grammar.
   */
  constructor(library: NativeLibrary, vocabulary: Address, table: TokenTable, gbnf: string) {
    this.#library = library;
    this.#table = table;
    const mark = library.log.mark;
    this.#address = gbnf.includes("\0")
      ? 0
      : library.native.llama_sampler_init_grammar(vocabulary, gbnf, "root");
    if (this.#address === 0) {
      const reason = library.log.since(mark).find(({ level }) => level === "error" || level === "warn")?.text;
      throw new UsageError(`the grammar is not valid GBNF${reason ? `: ${shorten(reason)}` : ""}; mend it.`);
    }
  }

  /** Whether the token can follow. */
  allows(token: number): boolean {
    this.#table.setOne(token);
    this.#library.native.llama_sampler_apply(this.#open(), this.#table.address);
    return !this.#table.isRuledOut(0);
  }

  /** Sets the logits of those of `tokens` that cannot follow to minus infinity. */
  mask(logits: Float32Array, tokens: Int32Array): void {
    this.#table.set(tokens);
    this.#library.native.llama_sampler_apply(this.#open(), this.#table.address);
    for (const [index, token] of tokens.entries()) {
      if (this.#table.isRuledOut(index)) {
        logits[token] = Number.NEGATIVE_INFINITY;
      }
    }
  }

  /** Goes on by a token that it allows. */
  accept(token: number): void {
    this.#library.native.llama_sampler_accept(this.#open(), token);
  }

  close(): void {
    if (this.#address !== 0) {
      this.#library.native.llama_sampler_free(this.#address);
    }
    this.#address = 0;
  }

  #open(): Address {
    if (this.#address === 0) {
      throw new InternalError("a grammar was used after it was closed.");
    }
    return this.#address;
  }
}

/** llama.cpp's reason without the name of the function, and no more of the grammar than a line. */
function shorten(line: string): string {
  return line.replace(/^(\w+: )+/, "").slice(0, 200);
}
