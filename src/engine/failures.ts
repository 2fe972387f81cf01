/** Turns what llama.cpp logged about a failure into one of our errors. */
import { EnvironmentError, type LopsidedError, MalformedInputError } from "../errors.js";
import { gigabytes, memoryLimitBytes } from "./limits.js";
import type { LogLine } from "./log.js";
import { mirroredVersion } from "./native.js";

const outOfMemoryPattern =
  /unable to allocate|failed to allocate|out of memory|cudaMalloc failed|bad_alloc|ErrorOutOfDeviceMemory/i;

/** The lines that explain a failure: errors and warnings if there are any, otherwise the last ones. */
export function explain(lines: readonly LogLine[], limit = 3): string {
  const errors = lines.filter(({ level }) => level === "error");
  const chosen = errors.length > 0 ? errors : lines;
  return chosen
    .slice(-limit)
    .map(({ text }) => text.trim())
    .join(" | ");
}

/** Why a model could not be loaded. */
export function loadFailure(path: string, byteLength: number, lines: readonly LogLine[]): LopsidedError {
  const text = lines.map((line) => line.text).join("\n");
  const details = { file: path, log: explain(lines) };
  const architecture = /unknown model architecture: '([^']*)'/.exec(text)?.[1];
  if (architecture !== undefined) {
    return new MalformedInputError(
      `${path}: llama.cpp ${mirroredVersion} does not know the architecture "${architecture}"; it can be quantized but not run.`,
      { ...details, architecture },
    );
  }
  if (/invalid magic/.test(text)) {
    return new MalformedInputError(
      `${path}: is not a GGUF file (it does not begin with "GGUF"); name a GGUF model.`,
      details,
    );
  }
  if (/failed to read (key-value pairs|tensor info)/.test(text)) {
    return new MalformedInputError(
      `${path}: its header is damaged or truncated (${explain(lines, 1)}); download or write it again.`,
      details,
    );
  }
  const outside = /tensor '([^']*)' data is not within the file bounds/.exec(text)?.[1];
  if (outside !== undefined) {
    return new MalformedInputError(
      `${path}: the tensor "${outside}" ends after the end of the file (${byteLength} bytes). The file is truncated; download or write it again.`,
      { ...details, tensor: outside },
    );
  }
  if (outOfMemoryPattern.test(text)) {
    return new EnvironmentError(
      `${path}: its weights (${gigabytes(byteLength)}) do not fit in memory (${gigabytes(memoryLimitBytes())}): ${explain(lines)}. Use a smaller quantization, fewer GPU layers or a larger machine.`,
      details,
    );
  }
  return new MalformedInputError(
    `${path}: llama.cpp ${mirroredVersion} cannot load it: ${explain(lines) || "it gave no reason"}.`,
    details,
  );
}

/** Why a context could not be made. */
export function contextFailure(path: string, tokens: number, lines: readonly LogLine[]): LopsidedError {
  const text = lines.map((line) => line.text).join("\n");
  const details = { file: path, tokens, log: explain(lines) };
  if (outOfMemoryPattern.test(text)) {
    return new EnvironmentError(
      `${path}: a context of ${tokens} tokens does not fit in memory (${gigabytes(memoryLimitBytes())}): ${explain(lines)}. Use a shorter context or a smaller KV cache type.`,
      details,
    );
  }
  return new EnvironmentError(
    `${path}: llama.cpp cannot make a context of ${tokens} tokens: ${explain(lines) || "it gave no reason"}.`,
    details,
  );
}
