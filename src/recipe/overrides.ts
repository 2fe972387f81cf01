/**
 * llama-quantize's options for types, with its meaning (llama.cpp `tools/quantize/quantize.cpp`). Two things
 * differ on purpose: regular expressions are JavaScript's, and letter case is ignored where llama-quantize
 * turns the pattern to small letters (which breaks `\D`, `\S` and `\W` there).
 */

import { suggestion } from "../contract/suggest.js";
import { UsageError } from "../errors.js";
import { type TypeName, types } from "../quants/types.js";
import { patternProblem } from "./pattern.js";

/** `--tensor-type PATTERN=TYPE`. */
export interface TensorTypeOverride {
  /** Regular expression, searched anywhere in the tensor's name. */
  readonly pattern: string;
  readonly type: TypeName;
}

export interface TypeOverrides {
  /** `--tensor-type` and the lines of `--tensor-type-file`, in order: the first that matches decides. */
  readonly tensorTypes?: readonly TensorTypeOverride[] | undefined;
  /** `--token-embedding-type` */
  readonly tokenEmbeddingType?: TypeName | undefined;
  /** `--output-tensor-type` */
  readonly outputTensorType?: TypeName | undefined;
  /** `--pure`: the base's type without the exceptions of its mixture. */
  readonly pure?: boolean | undefined;
  /** `--leave-output-tensor`: `output.weight` keeps its type. */
  readonly leaveOutputTensor?: boolean | undefined;
  /** `--allow-requantize`: tensors that are quantized already may be quantized again. */
  readonly allowRequantize?: boolean | undefined;
  /** Copy low-bit tensors also where others may be quantized again. */
  readonly copyLowBit?: boolean | undefined;
  /** `--keep-split`: tensors are visited in file order, which matters to mixtures that count. */
  readonly keepSplit?: boolean | undefined;
}

/** Reads `PATTERN=TYPE`, split at the first "=". Throws a UsageError. */
export function parseTensorType(text: string, option = "`tensorType`"): TensorTypeOverride {
  const [, pattern = "", name = ""] = /^([^=]*)=(.*)$/s.exec(text) ?? [];
  if (pattern === "" || name === "") {
    throw new UsageError(`${option} "${text}": expected PATTERN=TYPE, like ffn_down_exps=Q4_K.`, {
      option,
      value: text,
    });
  }
  const type = name.toUpperCase() as TypeName;
  const problem = types.has(type)
    ? patternProblem(pattern)
    : `"${name}" is not a tensor type${suggestion(name, [...types.keys()])}`;
  if (problem !== undefined) {
    throw new UsageError(`${option} "${text}": ${problem}`, { option, value: text });
  }
  return { pattern, type };
}

/** Reads the text of a `--tensor-type-file`: the same items, separated by white space. */
export function parseTensorTypeFile(text: string, file: string): TensorTypeOverride[] {
  return text.split("\n").flatMap((line, index) =>
    line
      .split(/\s+/)
      .filter((item) => item !== "")
      .map((item) => parseTensorType(item, `${file}:${index + 1}:`)),
  );
}
