/** `demo`: the reference case in small, on the tiny model that ships with the package. */
import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Engine } from "../engine/engine.js";
import { measurePerplexity, type PerplexityResult } from "../evaluate/measure.js";
import { computeImatrix, type ImatrixResult } from "../imatrix/compute.js";
import type { OnProgress } from "../progress.js";
import { type InspectResult, inspect } from "./inspect.js";
import { quantize } from "./quantize.js";

export interface DemoOptions {
  /** Folder for the files; it is created. */
  readonly output: string;
  readonly threads?: number | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly onWarning?: ((warning: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** One file of the demo and how far it is from the source. */
export interface DemoVariant {
  readonly name: string;
  readonly path: string;
  /** Size of the file. */
  readonly bytes: number;
  readonly model: InspectResult;
  /** On text that it was not calibrated on; compared with the source, unless it is the source. */
  readonly evaluation: PerplexityResult;
}

export interface DemoResult {
  readonly output: string;
  readonly imatrix: ImatrixResult;
  /** The source, then the quantizations from large to small. */
  readonly variants: readonly DemoVariant[];
  readonly seconds: number;
}

/** Chunks of 512 tokens that the variants are compared on. */
const evaluationChunks = 40;

const shipped = (name: string) => fileURLToPath(new URL(`../../fixtures/${name}`, import.meta.url));

/** Calibrates, quantizes two ways and compares. Errors: those of the steps. */
export async function demo(options: DemoOptions): Promise<DemoResult> {
  const started = performance.now();
  const { output, threads, onProgress, onWarning, signal } = options;
  await mkdir(output, { recursive: true });
  const source = shipped("tiny-moe-q8_0.gguf");
  const engine = new Engine();
  try {
    const common = { threads, onProgress, onWarning, signal, engine };
    const imatrixPath = join(output, "imatrix.gguf");
    const calibration = { text: shipped("text/calibration.txt"), parseSpecial: true };
    const imatrix = await computeImatrix({ ...common, ...calibration, model: source, output: imatrixPath });
    const paths = new Map([["Q8_0 (source)", source]]);
    for (const [name, recipe, file] of [
      ["Q4_K_M", "Q4_K_M", "tiny-moe-Q4_K_M.gguf"],
      ["asym-2bit-experts", "asym-2bit-experts", "tiny-moe-asym-IQ2_S.gguf"],
    ] as const) {
      const path = join(output, file);
      await quantize({
        ...common,
        model: source,
        output: path,
        recipe,
        imatrix: imatrixPath,
        allowRequantize: true,
      });
      paths.set(name, path);
    }
    const variants: DemoVariant[] = [];
    for (const [name, path] of paths) {
      const evaluation = await measurePerplexity({
        ...common,
        model: path,
        reference: path === source ? undefined : source,
        text: shipped("text/eval.txt"),
        parseSpecial: true,
        chunks: evaluationChunks,
      });
      variants.push({ name, path, bytes: (await stat(path)).size, model: await inspect(path), evaluation });
    }
    return { output, imatrix, variants, seconds: (performance.now() - started) / 1000 };
  } finally {
    await engine.close();
  }
}
