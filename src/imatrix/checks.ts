/** Checks that both imatrix formats share. */
import { MalformedInputError } from "../errors.js";

/** Throws unless every sum of squares is a finite number that is not negative. */
export function checkSums(file: string, name: string, sums: Float32Array): void {
  for (let i = 0; i < sums.length; i++) {
    const value = sums[i] ?? Number.NaN;
    if (value >= 0 && value < Infinity) {
      continue;
    }
    throw new MalformedInputError(
      `${file}: entry "${name}" has the value ${value} at position ${i}; sums of squares are finite and not negative. Compute the imatrix again, from a model that is not damaged.`,
      { file, tensor: name },
    );
  }
}

/** An error about one entry of a file. */
export function entryError(file: string, name: string, problem: string): MalformedInputError {
  return new MalformedInputError(
    `${file}: entry "${name}" ${problem} The file is damaged; copy or compute it again.`,
    {
      file,
      tensor: name,
    },
  );
}
