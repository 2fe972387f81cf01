/** Noise on the weights of a model that is loaded. */
import type { Model } from "../../engine/model.js";
import {
  addStatistics,
  noStatistics,
  relativeError,
  type Statistics,
  weightedStatistics,
} from "../../quants/statistics.js";
import { rowBytes, type TypeName, traitsOf } from "../../quants/types.js";
import type { Workspace } from "../../quants/workspace.js";
import { perturbRows, SignSource } from "./perturbation.js";

/** A tensor to put noise on. */
export interface TensorToPerturb {
  readonly name: string;
  readonly type: TypeName;
  /** GGUF order: row length first. */
  readonly shape: readonly number[];
  /** For each expert: importance of the columns, and its share of the tokens. */
  readonly experts: readonly { readonly importance?: Float32Array; readonly share: number }[] | undefined;
  /** Whether to measure it; all others have their share of the noise, too. */
  readonly isWanted: boolean;
}

/** Whether noise can be put on tensors of a type. */
export function canPerturb(type: TypeName): boolean {
  return traitsOf(type).canDecode && traitsOf(type).canEncode;
}

/** A copy, since the view changes with the weights; undefined if the computation does not use the tensor. */
export function weightBytes(model: Model, name: string): Uint8Array | undefined {
  return model.weights().get(name)?.bytes().slice();
}

/**
 * Writes a tensor with noise, expert after expert; returns the relative error that the noise is. The tensor may have
 * another name in the model that is loaded.
 */
export function writeNoise(
  model: Model,
  { name, type, shape, experts }: TensorToPerturb,
  original: Uint8Array,
  { draw, level, loadedName = name }: { draw: string; level: number; loadedName?: string },
  workspace: Workspace,
): number {
  const [columns = 1, rowsPerMatrix = 1] = shape;
  const matrixBytes = rowsPerMatrix * rowBytes(type, columns);
  const signs = new SignSource(`${name} ${draw}`);
  let sum: Statistics = noStatistics;
  for (let expert = 0; expert * matrixBytes < original.byteLength; expert++) {
    const offset = expert * matrixBytes;
    const { importance, share } = experts?.[expert] ?? { importance: undefined, share: 1 };
    const rows = original.subarray(offset, offset + matrixBytes);
    const { bytes, statistics } = perturbRows(rows, { type, columns, level, importance, signs }, workspace);
    model.writeWeight(loadedName, bytes, offset);
    sum = addStatistics(sum, weightedStatistics(statistics, share));
  }
  return relativeError(sum);
}
