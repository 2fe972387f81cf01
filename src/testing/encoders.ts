/** The two implementations of every encoder, so that one suite can run over both. */
import type { Effort } from "../quants/effort.js";
import type { Kernels } from "../quants/kernels/kernels.js";
import { newKernels } from "../quants/kernels/load.js";
import { sharedInput } from "../quants/shared-input.js";
import { transcode } from "../quants/transcode.js";
import type { TypeName } from "../quants/types.js";
import { Workspace } from "../quants/workspace.js";
import type { Rows } from "./rows.js";

export interface TestedEncoder {
  readonly name: "reference" | "kernels";
  /** Whether it has an encoder of its own for the type; kernels use the reference where they have none. */
  readonly has: (type: TypeName) => boolean;
  /** Encodes rows as quantizing a file does. */
  readonly encode: (type: TypeName, rows: Rows, effort?: Effort) => Uint8Array;
}

function encoder(name: TestedEncoder["name"], kernels: Kernels | undefined): TestedEncoder {
  const workspace = new Workspace(kernels);
  return {
    name,
    has: (type) => kernels === undefined || kernels.encoder(type) !== undefined,
    encode: (targetType, { label, weights, columns, importance }, effort = "default") => {
      const source = new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength);
      const slice = { label, firstRow: 0, sourceType: "F32", targetType, columns, source } as const;
      return transcode({ ...slice, importance: importance && sharedInput(importance), effort }, workspace)
        .bytes;
    },
  };
}

/** The reference in TypeScript, and the SIMD kernels if this machine can run them. */
export function testedEncoders(): TestedEncoder[] {
  const kernels = newKernels();
  return [encoder("reference", undefined), ...(kernels ? [encoder("kernels", kernels)] : [])];
}
