/** llama.cpp's log: lines with levels, the last of which explain a failure. */
import { C } from "./native.js";

export type LogLevel = "debug" | "info" | "warn" | "error";

export interface LogLine {
  readonly level: LogLevel;
  readonly text: string;
}

/** Lines kept to explain a failure and to read memory sizes from; a model's load writes about a hundred. */
const keptLines = 1000;

/** Assembles lines from the parts that llama.cpp logs, keeps the last ones and passes them on. */
export class NativeLog {
  /** Called with each finished line. */
  onLine: ((line: LogLine) => void) | undefined;
  /** Called when another kind of native work begins. */
  onStep: ((step: string) => void) | undefined;
  readonly #lines: LogLine[] = [];
  #step = "";
  #dropped = 0;
  #level: LogLevel = "info";
  #partial = "";

  /** What `ggml_log_callback` receives: a level, or "continued" for the rest of a line, and text. */
  write(level: number, text: string): void {
    const name = C.logLevels[level];
    if (name === "debug" || name === "info" || name === "warn" || name === "error") {
      this.#level = name;
    }
    const parts = (this.#partial + text).split("\n");
    this.#partial = parts.pop() ?? "";
    for (const part of parts) {
      this.#finish(part.trimEnd());
    }
  }

  /** Notes what native code is about to do ("loading model.gguf"), to name it should it crash. */
  step(step: string): void {
    if (step === this.#step) {
      return;
    }
    this.#step = step;
    this.onStep?.(step);
  }

  /** A position in the log, for `since`. */
  get mark(): number {
    return this.#dropped + this.#lines.length;
  }

  /** The lines written after a mark, as far as they are still kept. */
  since(mark: number): LogLine[] {
    return this.#lines.slice(Math.max(0, mark - this.#dropped));
  }

  #finish(text: string): void {
    // Debug lines describe every node of every graph; llama.cpp's own tools drop them too.
    if (text === "" || this.#level === "debug") {
      return;
    }
    const line = { level: this.#level, text };
    this.#lines.push(line);
    if (this.#lines.length > 2 * keptLines) {
      this.#lines.splice(0, keptLines);
      this.#dropped += keptLines;
    }
    this.onLine?.(line);
  }
}
