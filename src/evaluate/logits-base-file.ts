/** Writing llama-perplexity's base file, row after row. */
import { OutputFile } from "../bytes/output.js";
import type { RowScore } from "../reduce/reducer.js";
import {
  encodeHeader,
  encodeRow,
  fileByteLength,
  type LogitsBaseHeader,
  rowByteLength,
} from "./logits-base.js";

/** Rows are written together in stretches of about this many bytes. */
const stretchBytes = 2 ** 20;

/** Rows must come in the order of the chunks and positions, all of them before `commit`. */
export class LogitsBaseWriter {
  #offset = 0;
  readonly #waiting: Uint8Array[] = [];
  readonly #rowsTogether: number;

  readonly #output: OutputFile;

  private constructor(output: OutputFile, vocabulary: number) {
    this.#output = output;
    this.#rowsTogether = Math.ceil(stretchBytes / rowByteLength(vocabulary));
  }

  /** Begins a file at `path`, which appears there with `commit`. Throws if it has no place on the disk. */
  static async create(path: string, header: LogitsBaseHeader): Promise<LogitsBaseWriter> {
    const output = await OutputFile.create(path, fileByteLength(header));
    const writer = new LogitsBaseWriter(output, header.vocabulary);
    writer.#waiting.push(encodeHeader(header));
    return writer;
  }

  async add(logits: Float32Array, score: RowScore): Promise<void> {
    this.#waiting.push(encodeRow(logits, score));
    if (this.#waiting.length >= this.#rowsTogether) {
      await this.#flush();
    }
  }

  async commit(): Promise<void> {
    await this.#flush();
    await this.#output.commit();
  }

  /** Removes what was written. Does nothing after `commit`. */
  async discard(): Promise<void> {
    await this.#output.discard();
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#waiting.splice(0));
    await this.#output.write(this.#offset, bytes);
    this.#offset += bytes.byteLength;
  }
}
