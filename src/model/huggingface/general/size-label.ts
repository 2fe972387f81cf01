/** The size of a model in the words of `general.size_label`. */

import { weightCount } from "../../source.js";

/**
 * The size of a model in two digits (`16x2.6M`, `0.6B`), for `general.size_label` where its name does not tell.
 * A mixture of experts is counted as experts times the weights of one path: everything shared plus one expert
 * of each stack (llama.cpp `gguf-py/gguf/utility.py`).
 */
export function sizeLabel(
  tensors: readonly { readonly name: string; readonly shape: readonly number[] }[],
): string {
  const stacks = tensors.filter(({ name, shape }) => name.includes("_exps.") && shape.length >= 3);
  const experts = stacks.map(({ shape }) => shape[2] ?? 1);
  const onePath = tensors.reduce((sum, tensor) => {
    const count = weightCount(tensor.shape);
    return sum + (stacks.includes(tensor) ? count / (tensor.shape[2] ?? 1) : count);
  }, 0);
  if (stacks.length === 0) {
    return roundedCount(onePath);
  }
  const average = Math.floor(experts.reduce((sum, count) => sum + count, 0) / stacks.length);
  return `${average}x${roundedCount(onePath)}`;
}

/** `1 234 567` as `1.2M`: at least two digits, halves rounded to even. */
function roundedCount(count: number): string {
  const [scale, unit] =
    count > 1e12 ? [1e-12, "T"] : count > 1e9 ? [1e-9, "B"] : count > 1e6 ? [1e-6, "M"] : [1e-3, "K"];
  const scaled = count * scale;
  const wholeDigits = roundHalfEven(scaled, 0).replace(/^0+/, "").length;
  return `${roundHalfEven(scaled, Math.max(2 - wholeDigits, 0))}${unit}`;
}

/** `toFixed`, but an exact half goes to the even digit, as Python formats numbers. */
function roundHalfEven(value: number, digits: number): string {
  const halves = value * 2 ** (digits + 1);
  const isTie = Number.isInteger(halves) && halves % 2 === 1;
  if (!isTie) {
    return value.toFixed(digits);
  }
  const below = Math.floor(value * 10 ** digits);
  return ((below % 2 === 0 ? below : below + 1) / 10 ** digits).toFixed(digits);
}
